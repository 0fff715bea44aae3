//! Whoever looks around, and ports that are stuck, do a line no harm.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use lamplighter_adapters::{bus::Port, modbus::BusError};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::*;

/// More than the timeouts after which a silent connection is renewed.
const MANY: u32 = 24;

fn mute(seen: &Seen) -> Behaviour {
    match seen.unit {
        9 => Behaviour::Mute,
        _ => Behaviour::Answer,
    }
}

#[tokio::test(start_paused = true)]
async fn a_guest_who_asks_where_nobody_is_does_not_renew_a_connection() {
    let units = counting_units(&[1, 9]);
    let (bus, opened) = start(tcp_settings(), &units, mute);
    for _ in 0..MANY {
        let ask = Ask {
            class: Class::Guest,
            ..read(9, 0, 1)
        };
        assert_eq!(bus.ask(ask).await, Err(BusError::Timeout));
    }
    assert_eq!(opened.load(Ordering::Relaxed), 1);
    let answer = bus.ask(read(1, 5, 1)).await.unwrap();
    assert_eq!(answer.reply, registers(&[5]));
    for _ in 0..MANY {
        let _silent = bus.ask(read(9, 0, 1)).await;
    }
    assert!(
        opened.load(Ordering::Relaxed) > 1,
        "polls renew one that is silent"
    );
}

/// A port whose driver never says that everything has been sent.
struct Stuck(DuplexStream);

impl AsyncRead for Stuck {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Stuck {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

impl Port for Stuck {
    fn switches_direction(&self) -> bool {
        true
    }

    fn end_sending(&mut self) -> impl Future<Output = io::Result<()>> + Send {
        std::future::pending()
    }
}

struct Always;

impl Opener for Always {
    type Port = Stuck;

    async fn open(&mut self) -> io::Result<Stuck> {
        let (ours, theirs) = tokio::io::duplex(1024);
        tokio::spawn(sim::serve(
            theirs,
            sim::Framing::Rtu,
            counting_units(&[1]),
            sim::Obedient,
        ));
        Ok(Stuck(ours))
    }
}

#[tokio::test(start_paused = true)]
async fn a_port_that_never_ends_sending_holds_up_nobody() {
    let (bus, owner) = Bus::new(Always, rtu_settings(), 1);
    tokio::spawn(owner.run());
    let begun = Instant::now();
    assert_eq!(bus.ask(read(1, 0, 1)).await, Err(BusError::Down));
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(2), "{took:?}");
    let reason = bus.state().borrow().reason.clone();
    assert!(reason.contains("timed out"), "{reason}");
}
