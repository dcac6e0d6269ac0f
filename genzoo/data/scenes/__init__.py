"""Pictures of shapes, the sentences about them, and a parser that reads pictures back."""
