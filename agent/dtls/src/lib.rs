//! The security state of one server, which outlives links.
