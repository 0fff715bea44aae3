//! CoAP for one peer, as a state machine: messages, reliability, exchanges, block-wise, observe.
//! No sockets, no clock, and it has never heard of objects.
