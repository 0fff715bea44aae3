//! Starts real peers for the tests beside it.
