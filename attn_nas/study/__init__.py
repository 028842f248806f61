"""The study: proposes candidates, has them trained, keeps what came of them."""
