"""Entry points: HTTP consumers, the socket, REST, pages and OpenAI's wire format. They only translate."""
