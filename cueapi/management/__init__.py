"""What `manage.py` adds to Django's commands, and what runs an installation in one terminal."""
