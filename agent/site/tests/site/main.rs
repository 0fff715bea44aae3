//! The site as core and adapters see it, in virtual time.

mod alarms;
mod costs;
mod groups;
mod guards;
mod hands;
mod histories;
mod interlocks;
mod late;
mod limits;
mod locks;
mod lost;
mod outcome;
mod outputs;
mod requests;
mod restart;
mod rig;
mod rules;
mod safety;
mod standstill;
