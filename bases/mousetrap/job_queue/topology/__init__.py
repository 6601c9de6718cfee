"""The exchanges, queues and bindings that Mousetrap keeps on RabbitMQ."""
