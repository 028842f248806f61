"""A sample of the networks that benchmarks/hosts.py goes through, and a U-Net of segmentation_models_pytorch."""

import hosts
import pytest
import torch

from attn_nas import Placement, insert, remove, sites


@pytest.mark.parametrize("name", ["torchvision shufflenet_v2_x0_5", "timm regnety_002"])
def test_a_sample_of_the_sweep(name):
    """Sites are found, SE as the identity changes no bit, names stay, and removal undoes it."""
    pytest.importorskip(name.partition(" ")[0])
    make, shape = hosts.NETWORKS[name]
    row = hosts.examine(make, shape)
    assert row["sites"] > 10
    assert (row["identity"], row["names_kept"], row["undone"], row["undone_difference"]) == (0, True, True, 0)


def test_a_unet_of_segmentation_models_gets_attention_in_decoder_and_encoder():
    """As in the documentation: its sites by patterns, known blocks in the encoder and others in the decoder."""
    smp = pytest.importorskip("segmentation_models_pytorch")
    model = smp.Unet("resnet18", encoder_weights=None, classes=11)
    example = torch.rand(1, 3, 32, 64)
    found = {site.name: site for site in sites(model, example, sites=["decoder.blocks.*", "encoder.layer4.*"])}
    assert [*found] == ["encoder.layer4.0", "encoder.layer4.1", *(f"decoder.blocks.{number}" for number in range(5))]
    assert "inner" in found["encoder.layer4.0"].positions
    assert found["decoder.blocks.0"].positions == ("pre", "post", "stage_end")
    with torch.no_grad():
        expected = model.eval()(example)
        insert(model, {found["decoder.blocks.1"]: "scse", found["encoder.layer4.1"]: Placement("se", "inner", reduction=8)})
        assert not torch.equal(model(example), expected)
        assert torch.equal(remove(model)(example), expected)
