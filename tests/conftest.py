"""What all tests share: no property fails because the machine is busy."""

from hypothesis import settings

settings.register_profile("no clock", deadline=None)
settings.load_profile("no clock")
