//! Who switches the direction of an RS-485 driver. The one file of this crate with unsafe code: no
//! crate in use wraps the kernel's request for it.

use std::{
    fmt, io,
    os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd},
    str::FromStr,
};

use nix::libc;

/// Who switches an RS-485 driver between sending and receiving.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Rs485 {
    /// The adapter, by itself, or the kernel as its device tree says.
    #[default]
    Adapter,
    /// The kernel's serial driver, by its own request (`TIOCSRS485`).
    Kernel,
    /// We, by RTS: active while sending.
    RtsHigh,
}

/// `struct serial_rs485` of `linux/serial.h`, which is part of the kernel's stable interface.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct SerialRs485 {
    flags: u32,
    delay_rts_before_send: u32,
    delay_rts_after_send: u32,
    padding: [u32; 5],
}

const ENABLED: u32 = 1;
const RTS_ON_SEND: u32 = 1 << 1;
const RTS_AFTER_SEND: u32 = 1 << 2;
const RX_DURING_TX: u32 = 1 << 4;

mod request {
    use super::{SerialRs485, libc};

    nix::ioctl_read_bad!(get, libc::TIOCGRS485, SerialRs485);
    // The driver writes back what it made of it, so this one goes both ways too.
    nix::ioctl_read_bad!(set, libc::TIOCSRS485, SerialRs485);
}

/// Has the kernel switch the direction; delays stay as the driver has them.
///
/// # Errors
/// The port's driver has no such function, or did not take it on.
pub(super) fn let_the_kernel_switch(fd: RawFd, hears_itself: bool) -> io::Result<()> {
    let mut settings = SerialRs485::default();
    // SAFETY: both requests read and write one `struct serial_rs485`, which `settings` is; the
    // descriptor is that of an open port, and any other is refused by the kernel.
    #[expect(unsafe_code, reason = "no crate in use wraps these requests")]
    unsafe {
        request::get(fd, &raw mut settings)?;
        settings.flags |= ENABLED | RTS_ON_SEND;
        settings.flags &= !(RTS_AFTER_SEND | RX_DURING_TX);
        if hears_itself {
            settings.flags |= RX_DURING_TX;
        }
        request::set(fd, &raw mut settings)?;
    }
    if settings.flags & ENABLED == 0 {
        return Err(io::ErrorKind::Unsupported.into());
    }
    Ok(())
}

/// A second descriptor of the open port.
///
/// # Errors
/// The process has too many.
pub(super) fn duplicate(port: &impl AsRawFd) -> io::Result<OwnedFd> {
    // SAFETY: the port is borrowed, so its descriptor stays open until it has been duplicated.
    #[expect(
        unsafe_code,
        reason = "the port's type lends its descriptor only as a number"
    )]
    let fd = unsafe { BorrowedFd::borrow_raw(port.as_raw_fd()) };
    fd.try_clone_to_owned()
}

impl FromStr for Rs485 {
    type Err = ();

    /// Reads `adapter` and `auto`, `kernel`, `rts_high`.
    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "adapter" | "auto" => Ok(Self::Adapter),
            "kernel" => Ok(Self::Kernel),
            "rts_high" => Ok(Self::RtsHigh),
            _ => Err(()),
        }
    }
}

impl fmt::Display for Rs485 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Adapter => "adapter",
            Self::Kernel => "kernel",
            Self::RtsHigh => "rts_high",
        })
    }
}
