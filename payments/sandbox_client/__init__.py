"""The parts of the adapter to the sandbox bank: one call, its answers in our words, its webhooks."""
