//! Logs and traces: set up, flushed at exit, and carried across process boundaries.
