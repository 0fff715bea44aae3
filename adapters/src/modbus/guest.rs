//! Questions of people who look around on a line, also at speeds that are not its own: the port is
//! switched for one question, while nothing else waits, and back before anything else is asked.

use std::time::Duration;

use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

use super::{
    bus::{Answered, Ask, Bus, BusError, BusHandle, BusSettings, Framing, Job, Line, PortState},
    frame::RequestError,
    rtu::Outcome,
};
use crate::bus::{LineSettings, Opener, Port as _};

impl BusHandle {
    /// As [`BusHandle::ask`] in [`super::Class::Guest`], at this speed and format.
    ///
    /// # Errors
    /// Why there is no reply; [`BusError::Invalid`] also where the line has no speed.
    pub async fn ask_at(&self, line: LineSettings, ask: Ask) -> Result<Answered, BusError> {
        ask.request.check().map_err(BusError::Invalid)?;
        let (done, reply) = oneshot::channel();
        let job = Job {
            ask,
            line: Some(line),
            done,
        };
        self.guests.try_send(job).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => BusError::Full,
            mpsc::error::TrySendError::Closed(_) => BusError::Down,
        })?;
        reply.await.unwrap_or(Err(BusError::Down))
    }
}

impl<O: Opener> Bus<O> {
    pub(super) async fn exchange_at(
        &mut self,
        line: LineSettings,
        job: &Job,
    ) -> Result<Answered, BusError> {
        let ask = &job.ask;
        let Framing::Rtu(own) = self.settings.framing else {
            return Err(BusError::Invalid(RequestError::NoSpeed));
        };
        let PortState::Open { port, .. } = &mut self.port else {
            return Err(BusError::Down);
        };
        let settings = BusSettings {
            framing: Framing::Rtu(line),
            ..self.settings.clone()
        };
        let Line::Rtu(mut guest) = settings.line() else {
            return Err(BusError::Invalid(RequestError::NoSpeed));
        };
        guest.on_open(port.is_real_time(), Duration::ZERO);
        let sent = Instant::now();
        let switched = port.set_line(line);
        if switched.is_err() && port.set_line(own).is_ok() {
            // The port has no such speed; the line itself is well.
            return Err(BusError::Invalid(RequestError::NoSpeed));
        }
        let outcome = match switched {
            Ok(()) => guest.exchange(port, ask, &|| job.is_wanted()).await,
            Err(error) => Err(error),
        };
        let back = port.set_line(own);
        if let Line::Rtu(rtu) = &mut self.line {
            // The silence before the next request begins now.
            rtu.on_stray(&[]);
            if matches!(outcome, Ok(Outcome::Garbled | Outcome::Silent)) {
                rtu.give_up_guest(ask, sent);
            }
        }
        match (outcome, back) {
            (Ok(Outcome::Answered(answer, round_trip)), Ok(())) => answer
                .map(|reply| Answered { reply, round_trip })
                .map_err(BusError::Exception),
            (Ok(Outcome::Expired), Ok(())) => Err(BusError::Expired),
            (Ok(Outcome::Garbled), Ok(())) => Err(BusError::Garbled),
            (Ok(Outcome::Silent), Ok(())) => Err(BusError::Timeout),
            (Err(error), _) | (Ok(_), Err(error)) => {
                self.close(&error);
                Err(BusError::Down)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::ready,
        io,
        pin::Pin,
        sync::{Arc, Mutex, PoisonError},
        task::{Context, Poll},
    };

    use lamplighter_sim::modbus::{self as sim, Behaviour, Seen, Units};
    use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};

    use super::*;
    use crate::{
        bus::Port,
        modbus::{Class, Reply, Request, Table},
    };

    type Speed = Arc<Mutex<LineSettings>>;

    /// A port whose speed both ends know.
    struct Geared(DuplexStream, Speed);

    impl AsyncRead for Geared {
        fn poll_read(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buf: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_read(cx, buf)
        }
    }

    impl AsyncWrite for Geared {
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

    impl Port for Geared {
        fn set_line(&mut self, line: LineSettings) -> io::Result<()> {
            *self.1.lock().unwrap_or_else(PoisonError::into_inner) = line;
            Ok(())
        }
    }

    struct Once(Option<Geared>);

    impl Opener for Once {
        type Port = Geared;

        fn open(&mut self) -> impl Future<Output = io::Result<Geared>> + Send {
            ready(self.0.take().ok_or_else(|| io::ErrorKind::NotFound.into()))
        }
    }

    fn ask(unit: u8, class: Class) -> Ask {
        Ask {
            unit,
            request: Request::Read {
                table: Table::Holding,
                at: 0,
                count: 1,
            },
            class,
            timeout: Duration::from_millis(100),
            late_timeout: Duration::from_millis(100),
            expires: None,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_guest_hears_devices_at_their_speed_and_the_line_has_its_own_again_afterwards() {
        let (own, other): (LineSettings, LineSettings) =
            ("9600-8E1".parse().unwrap(), "19200-8N1".parse().unwrap());
        let speed: Speed = Arc::new(Mutex::new(own));
        let units = Units::default();
        for unit in [17, 40] {
            units.with(unit, |bank| bank.holding.extend([(0, u16::from(unit))]));
        }
        let heard = Arc::clone(&speed);
        let script = move |seen: &Seen| {
            let is_understood = *heard.lock().unwrap() == if seen.unit == 40 { other } else { own };
            if is_understood {
                Behaviour::Answer
            } else {
                Behaviour::Mute
            }
        };
        let (ours, theirs) = tokio::io::duplex(4096);
        tokio::spawn(sim::serve(theirs, sim::Framing::Rtu, units, script));
        let settings = BusSettings::new("line", Framing::Rtu(own));
        let (bus, owner) = Bus::new(Once(Some(Geared(ours, Arc::clone(&speed)))), settings, 1);
        tokio::spawn(owner.run());
        assert!(bus.ask(ask(17, Class::Poll)).await.is_ok());
        assert_eq!(bus.ask(ask(40, Class::Guest)).await, Err(BusError::Timeout));
        assert!(bus.ask_at(other, ask(40, Class::Guest)).await.is_ok());
        assert_eq!(*speed.lock().unwrap(), own);
        assert_eq!(
            bus.ask_at(other, ask(17, Class::Guest)).await,
            Err(BusError::Timeout)
        );
        assert!(bus.ask(ask(17, Class::Poll)).await.is_ok());
        assert_eq!(
            bus.stats().timeouts,
            0,
            "what guests miss is no trouble of the line"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_unit_answers_too_late_at_another_speed_is_nobodys_value() {
        let (own, other): (LineSettings, LineSettings) =
            ("9600-8E1".parse().unwrap(), "19200-8N1".parse().unwrap());
        let speed: Speed = Arc::new(Mutex::new(own));
        let units = Units::default();
        units.with(40, |bank| bank.holding.extend([(0, 100), (1, 101)]));
        let heard = Arc::clone(&speed);
        let script = move |_: &Seen| {
            if *heard.lock().unwrap() == other {
                Behaviour::Late(Duration::from_millis(150))
            } else {
                Behaviour::Answer
            }
        };
        let (ours, theirs) = tokio::io::duplex(4096);
        tokio::spawn(sim::serve(theirs, sim::Framing::Rtu, units, script));
        let settings = BusSettings::new("line", Framing::Rtu(own));
        let (bus, owner) = Bus::new(Once(Some(Geared(ours, Arc::clone(&speed)))), settings, 1);
        tokio::spawn(owner.run());
        let late = bus.ask_at(other, ask(40, Class::Guest)).await;
        assert_eq!(late, Err(BusError::Timeout));
        let next = Ask {
            request: Request::Read {
                table: Table::Holding,
                at: 1,
                count: 1,
            },
            ..ask(40, Class::Poll)
        };
        let answer = bus.ask(next).await.unwrap();
        assert_eq!(answer.reply, Reply::Registers(vec![101]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_line_without_a_speed_cannot_be_asked_at_another() {
        let settings = BusSettings::new("net", Framing::Tcp);
        let (bus, owner) = Bus::new(Once(None), settings, 1);
        tokio::spawn(owner.run());
        let line = "9600-8E1".parse().unwrap();
        let answer = bus.ask_at(line, ask(1, Class::Guest)).await;
        assert_eq!(answer, Err(BusError::Invalid(RequestError::NoSpeed)));
    }
}
