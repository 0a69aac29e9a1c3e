"""ZeroMQ sockets on an asyncio loop: the only folder that imports zmq."""
