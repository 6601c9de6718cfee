"""Named topics for scripts and services: publish, claim, ack and nack."""
