"""The parts of ci/image."""
