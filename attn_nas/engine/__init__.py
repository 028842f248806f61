"""The search itself: what comes next, what is kept, and when it ends."""
