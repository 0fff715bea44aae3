//! The state of the site: one snapshot, replaced whole.

use std::io;

use lamplighter_site::saved::SavedSite;

use super::{disk::Disk, snapshot};

pub(super) const FILE: &str = "site.cbor";
const FORMAT: &str = "lamplighter site";
const VERSION: u32 = 1;

pub(super) fn read(disk: &mut dyn Disk) -> Option<SavedSite> {
    snapshot::read(disk, FILE, FORMAT, VERSION).map(|found| found.body)
}

pub(super) fn write(disk: &mut dyn Disk, site: &SavedSite) -> io::Result<()> {
    snapshot::write(disk, FILE, FORMAT, VERSION, site).map(drop)
}
