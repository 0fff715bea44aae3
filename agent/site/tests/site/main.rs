//! The site as core and adapters see it, in virtual time.

mod groups;
mod guards;

mod histories;
mod lost;
mod outputs;
mod requests;
mod restart;
mod rig;
mod rules;
