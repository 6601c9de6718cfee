"""AMQP below the queue: connections, frames, properties and addresses."""
