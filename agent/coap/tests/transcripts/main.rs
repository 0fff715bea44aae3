//! What an endpoint does, input by input, with all its outputs. See `script` for the notation.

mod block_in;
mod block_out;
mod conversation;
mod observe;
mod path;
mod refusal;
mod reliability;
mod script;
mod separate;
mod streamed;
