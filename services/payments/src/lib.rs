//! The mocked payment provider: decides each key once.
