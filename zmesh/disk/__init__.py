"""What zmesh keeps in files: settings that people write, state that must survive a restart."""
