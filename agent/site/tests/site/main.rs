//! The site as core and adapters see it, in virtual time.

mod outputs;
mod rig;
