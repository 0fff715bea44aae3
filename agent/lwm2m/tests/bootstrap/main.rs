//! Bootstrap of the whole core by a server that is played request by request, in virtual time.

mod commit;
mod operations;
mod owner;
mod rollback;
mod secured;
mod trigger;
mod untouched;
mod world;
