"""The live stream: messages as they are settled, over server-sent events and WebSocket."""
