//! A socket of rtnetlink.

use std::{
    io,
    os::fd::{AsRawFd as _, OwnedFd},
};

use nix::sys::{
    socket::{
        AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recvfrom,
        sendto, setsockopt, socket, sockopt::ReceiveTimeout,
    },
    time::{TimeVal, TimeValLike as _},
};
use tokio::io::{Interest, unix::AsyncFd};

use crate::link;

/// `RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_IFADDR | RTMGRP_IPV6_ROUTE`
const GROUPS: u32 = 0x1 | 0x10 | 0x40 | 0x100 | 0x400;

/// Twice what the kernel puts into one datagram. // Linux, net/netlink/af_netlink.c, netlink_dump
const DATAGRAM_MAX: usize = 64 * 1024;

/// For an answer of the kernel, where somebody waits.
const PATIENCE_S: i64 = 5;

#[derive(Debug)]
pub(super) struct Socket(AsyncFd<OwnedFd>);

/// For [`Socket::receive`].
pub(super) fn buffer() -> Vec<u8> {
    vec![0; DATAGRAM_MAX]
}

impl Socket {
    pub(super) fn open() -> io::Result<Self> {
        let fd = open(SockFlag::SOCK_NONBLOCK)?;
        bind(fd.as_raw_fd(), &NetlinkAddr::new(0, GROUPS))?;
        Ok(Self(link::watch(fd)?))
    }

    pub(super) fn send(&self, request: &[u8]) -> io::Result<()> {
        send(self.0.get_ref(), request)
    }

    /// The length of a datagram of the kernel. Nothing is lost where this is dropped.
    pub(super) async fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let receive = |fd: &OwnedFd| receive(fd, buffer);
            let received = self.0.async_io(Interest::READABLE, receive).await?;
            if let Some(length) = received {
                return Ok(length);
            }
        }
    }
}

/// For those who have no runtime; hears answers only.
#[derive(Debug)]
pub(super) struct Blocking(OwnedFd);

impl Blocking {
    pub(super) fn open() -> io::Result<Self> {
        let fd = open(SockFlag::empty())?;
        setsockopt(&fd, ReceiveTimeout, &TimeVal::seconds(PATIENCE_S))?;
        Ok(Self(fd))
    }

    pub(super) fn send(&self, request: &[u8]) -> io::Result<()> {
        send(&self.0, request)
    }

    /// The length of a datagram of the kernel.
    pub(super) fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(length) = receive(&self.0, buffer)? {
                return Ok(length);
            }
        }
    }
}

fn open(flags: SockFlag) -> io::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | flags;
    let protocol = SockProtocol::NetlinkRoute;
    Ok(socket(
        AddressFamily::Netlink,
        SockType::Raw,
        flags,
        protocol,
    )?)
}

fn send(fd: &OwnedFd, request: &[u8]) -> io::Result<()> {
    let kernel = NetlinkAddr::new(0, 0);
    sendto(fd.as_raw_fd(), request, &kernel, MsgFlags::empty())?;
    Ok(())
}

/// `None`: it was not the kernel who sent it; other programs have numbers.
fn receive(fd: &OwnedFd, buffer: &mut [u8]) -> io::Result<Option<usize>> {
    let (length, from) = recvfrom::<NetlinkAddr>(fd.as_raw_fd(), buffer)?;
    Ok(from.filter(|from| from.pid() == 0).map(|_| length))
}
