"""The ``zmesh`` command. Heavy imports stand inside the verbs, so that ``zmesh --help`` is quick."""
