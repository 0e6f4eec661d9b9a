"""Keep Claude Agent SDK sessions in your own SQLAlchemy database."""
