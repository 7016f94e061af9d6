"""What does the real work behind the services: the Docker engine, registry servers, archives. Knows no ARM type."""
