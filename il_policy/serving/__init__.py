"""A trained policy at work: runtimes without torch, plans that join without a jump, doubts, remote inference."""
