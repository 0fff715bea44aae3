//! One line: noise, order of requests, shares of time, connections.

use std::sync::atomic::AtomicBool;

use lamplighter_adapters::modbus::{BusError, ExceptionCode};
use tokio::task::JoinSet;

use super::*;

/// Misbehaves at registers 1 to 9 and answers at all others.
fn faulty(seen: &Seen) -> Behaviour {
    match seen.at {
        1 => Behaviour::Mute,
        2 => Behaviour::WrongCrc,
        3 => Behaviour::WrongUnit(2),
        4 => Behaviour::HalfFrame,
        5 => Behaviour::ExtraBefore(vec![0xFF, 1, 3, 2]),
        6 => Behaviour::ExtraAfter(vec![1, 3, 2, 0, 99, 0, 0]),
        7 => Behaviour::Exception(4),
        // A foreign master's traffic: a broadcast of 6, register 1, value 3.
        8 => Behaviour::ExtraBefore(vec![0, 6, 0, 1, 0, 3, 0x99, 0xDA]),
        9 => Behaviour::WrongLength,
        _ => Behaviour::Answer,
    }
}

#[tokio::test(start_paused = true)]
async fn every_fault_on_the_line_is_contained_in_its_request() {
    let units = counting_units(&[1, 2]);
    let (bus, opened) = start(rtu_settings(), &units, faulty);
    for (at, expected) in [
        (1, Err(BusError::Timeout)),
        (2, Err(BusError::Garbled)),
        // A whole frame of somebody else is no noise, only no answer.
        (3, Err(BusError::Timeout)),
        (4, Err(BusError::Garbled)),
        (5, Ok(registers(&[5]))),
        (6, Ok(registers(&[6]))),
        (7, Err(BusError::Exception(ExceptionCode(4)))),
        (8, Ok(registers(&[8]))),
        // Whole, but not what was asked for.
        (9, Err(BusError::Timeout)),
    ] {
        let reply = bus.ask(read(1, at, 1)).await.map(|answered| answered.reply);
        assert_eq!(reply, expected, "register {at}");
        let after = bus.ask(read(1, 50, 1)).await.map(|answered| answered.reply);
        assert_eq!(after, Ok(registers(&[50])), "after register {at}");
    }
    assert_eq!(
        opened.load(Ordering::Relaxed),
        1,
        "a serial port stays open"
    );
    let stats = bus.stats();
    assert_eq!((stats.timeouts, stats.garbled, stats.exceptions), (3, 2, 1));
}

#[tokio::test(start_paused = true)]
async fn silence_is_kept_before_every_request() {
    let units = counting_units(&[1]);
    let arrivals = Arc::new(std::sync::Mutex::new(Vec::new()));
    let script = {
        let arrivals = Arc::clone(&arrivals);
        move |_: &Seen| {
            arrivals.lock().unwrap().push(Instant::now());
            Behaviour::Answer
        }
    };
    let (bus, _) = start(rtu_settings(), &units, script);
    for at in 0..10 {
        bus.ask(read(1, at, 1)).await.unwrap();
    }
    // The answer comes at once here, so the pause between requests is the silence.
    let arrivals = arrivals.lock().unwrap();
    let shortest = arrivals
        .windows(2)
        .map(|pair| pair[1] - pair[0])
        .min()
        .unwrap();
    assert!(shortest >= rtu_settings().silence(), "{shortest:?}");
}

#[tokio::test(start_paused = true)]
async fn an_echo_of_the_request_is_not_its_answer() {
    let units = counting_units(&[1]);
    let mut settings = rtu_settings();
    settings.echo = true;
    // The request to write 3 to register 9, which is also its answer.
    let echo = vec![1, 6, 0, 9, 0, 3, 0x19, 0xC9];
    let with_echo = echo.clone();
    let (bus, _) = start(settings.clone(), &units, move |_: &Seen| {
        Behaviour::ExtraBefore(with_echo.clone())
    });
    let write = ask(1, Request::WriteRegister { at: 9, value: 3 });
    assert_eq!(
        bus.ask(write.clone()).await.map(|answered| answered.reply),
        Ok(Reply::Written)
    );
    // Only the echo comes back: the device is mute.
    let (bus, _) = start(settings, &units, move |_: &Seen| Behaviour::HalfFrame);
    assert!(bus.ask(write).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_command_waits_for_one_poll_at_most() {
    const TURNAROUND: Duration = Duration::from_millis(20);
    let units = counting_units(&[1]);
    let (bus, _) = start(rtu_settings(), &units, |_: &Seen| {
        Behaviour::Late(TURNAROUND)
    });
    let mut polls = JoinSet::new();
    for at in 0..16 {
        let bus = bus.clone();
        polls.spawn(async move {
            loop {
                bus.ask(read(1, at, 1)).await.unwrap();
            }
        });
    }
    let mut slowest = Duration::ZERO;
    for number in 0..200 {
        tokio::time::sleep(Duration::from_millis(137 + number)).await;
        let write = ask(1, Request::WriteRegister { at: 50, value: 1 });
        let before = Instant::now();
        bus.ask(Ask {
            class: Class::Command,
            ..write
        })
        .await
        .unwrap();
        slowest = slowest.max(before.elapsed());
    }
    let frame = TURNAROUND + rtu_settings().silence() + Duration::from_millis(5);
    assert!(slowest < frame * 2, "{slowest:?}");
}

#[tokio::test(start_paused = true)]
async fn polls_keep_their_share_when_commands_never_end() {
    let units = counting_units(&[1]);
    let (bus, _) = start(rtu_settings(), &units, |_: &Seen| {
        Behaviour::Late(Duration::from_millis(10))
    });
    let (commands, polls) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let mut askers = JoinSet::new();
    for number in 0..16 {
        let class = if number % 2 == 0 {
            Class::Command
        } else {
            Class::Poll
        };
        let (bus, counter) = (
            bus.clone(),
            Arc::clone(if number % 2 == 0 { &commands } else { &polls }),
        );
        askers.spawn(async move {
            loop {
                bus.ask(Ask {
                    class,
                    ..read(1, 1, 1)
                })
                .await
                .unwrap();
                counter.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    tokio::time::sleep(Duration::from_secs(60)).await;
    let (commands, polls) = (
        commands.load(Ordering::Relaxed),
        polls.load(Ordering::Relaxed),
    );
    let share = f64::from(polls) / f64::from(polls + commands);
    assert!(
        (0.18..0.25).contains(&share),
        "{polls} polls, {commands} commands"
    );
}

#[tokio::test(start_paused = true)]
async fn what_waited_too_long_is_never_sent() {
    let units = counting_units(&[1]);
    let (bus, _) = start(rtu_settings(), &units, |seen: &Seen| match seen.function {
        3 => Behaviour::Mute,
        _ => Behaviour::Answer,
    });
    let poll = tokio::spawn({
        let bus = bus.clone();
        async move { bus.ask(read(1, 1, 1)).await }
    });
    tokio::task::yield_now().await;
    let write = ask(1, Request::WriteRegister { at: 50, value: 1 });
    let expires = Some(Instant::now() + TIMEOUT / 2);
    assert_eq!(
        bus.ask(Ask {
            class: Class::Command,
            expires,
            ..write
        })
        .await,
        Err(BusError::Expired)
    );
    assert_eq!(poll.await.unwrap(), Err(BusError::Timeout));
    assert_eq!(units.with(1, |bank| bank.holding[&50]), 50);
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_refuses_at_once() {
    let units = counting_units(&[1]);
    let (bus, _) = start(rtu_settings(), &units, |_: &Seen| Behaviour::Mute);
    let mut askers = JoinSet::new();
    for _ in 0..100 {
        let bus = bus.clone();
        askers.spawn(async move { bus.ask(read(1, 1, 1)).await });
    }
    tokio::time::sleep(TIMEOUT / 2).await;
    let mut refused = 0;
    while let Some(result) = askers.try_join_next() {
        assert_eq!(result.unwrap(), Err(BusError::Full));
        refused += 1;
    }
    // 64 wait; one more may already be on the line.
    assert!((35..=36).contains(&refused), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn a_tcp_connection_that_is_out_of_step_is_renewed() {
    let units = counting_units(&[1, 2]);
    let (bus, opened) = start(tcp_settings(), &units, faulty);
    assert_eq!(
        bus.ask(read(1, 50, 1)).await.unwrap().reply,
        registers(&[50])
    );
    for at in [3, 5] {
        // Of another unit; bytes that are no header.
        assert_eq!(
            bus.ask(read(1, at, 1)).await,
            Err(BusError::Down),
            "register {at}"
        );
        assert_eq!(
            bus.ask(read(1, 50, 1)).await.unwrap().reply,
            registers(&[50])
        );
    }
    assert_eq!(opened.load(Ordering::Relaxed), 3);
    // One answer that does not come is no reason, ten times the timeout without any is: four
    // requests, since each is waited for longer than its timeout.
    for _ in 0..4 {
        assert_eq!(opened.load(Ordering::Relaxed), 3);
        assert_eq!(bus.ask(read(1, 1, 1)).await, Err(BusError::Timeout));
    }
    assert_eq!(
        bus.ask(read(1, 50, 1)).await.unwrap().reply,
        registers(&[50])
    );
    assert_eq!(opened.load(Ordering::Relaxed), 4);
}

#[tokio::test(start_paused = true)]
async fn rtu_over_tcp_ends_the_connection_on_any_doubt() {
    let units = counting_units(&[1]);
    let (bus, opened) = start(
        BusSettings::new("test", Framing::RtuOverTcp),
        &units,
        faulty,
    );
    assert_eq!(bus.ask(read(1, 1, 1)).await, Err(BusError::Timeout));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(
        bus.ask(read(1, 50, 1)).await.unwrap().reply,
        registers(&[50])
    );
    assert_eq!(opened.load(Ordering::Relaxed), 2);
}

#[tokio::test(start_paused = true)]
async fn a_line_that_hangs_up_is_opened_again_without_spinning() {
    let units = counting_units(&[1]);
    let (bus, opened) = start(rtu_settings(), &units, |seen: &Seen| match seen.at {
        1 => Behaviour::HangUp,
        _ => Behaviour::Answer,
    });
    assert_eq!(
        bus.ask(read(1, 50, 1)).await.unwrap().reply,
        registers(&[50])
    );
    assert_eq!(bus.ask(read(1, 1, 1)).await, Err(BusError::Down));
    // It worked before, so it is tried at once.
    assert_eq!(
        bus.ask(read(1, 50, 1)).await.unwrap().reply,
        registers(&[50])
    );
    // Hanging up again and again makes the pauses grow.
    let before = Instant::now();
    while before.elapsed() < Duration::from_secs(60) {
        let _down = bus.ask(read(1, 1, 1)).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let opened = opened.load(Ordering::Relaxed);
    assert!((5..15).contains(&opened), "{opened}");
}

#[tokio::test(start_paused = true)]
async fn a_port_that_is_gone_in_mid_frame_is_down_at_once_and_what_came_is_forgotten() {
    let units = counting_units(&[1]);
    let (bus, opened) = start(rtu_settings(), &units, |seen: &Seen| match seen.at {
        1 => Behaviour::CutOff,
        _ => Behaviour::Answer,
    });
    assert!(bus.ask(read(1, 50, 1)).await.is_ok());
    let before = Instant::now();
    assert_eq!(bus.ask(read(1, 1, 1)).await, Err(BusError::Down));
    assert!(before.elapsed() < TIMEOUT);
    for at in 2..5 {
        let reply = bus.ask(read(1, at, 1)).await.map(|answered| answered.reply);
        assert_eq!(reply, Ok(registers(&[at])));
    }
    assert_eq!(opened.load(Ordering::Relaxed), 2);
}

/// A serial adapter that can be pulled.
struct Pluggable {
    memory: Memory<fn(&Seen) -> Behaviour>,
    plugged: Arc<AtomicBool>,
    attempts: Arc<AtomicU32>,
}

impl Opener for Pluggable {
    type Port = DuplexStream;

    async fn open(&mut self) -> io::Result<DuplexStream> {
        self.attempts.fetch_add(1, Ordering::Relaxed);
        if self.is_present() {
            self.memory.open().await
        } else {
            Err(io::ErrorKind::NotFound.into())
        }
    }

    fn is_present(&self) -> bool {
        self.plugged.load(Ordering::Relaxed)
    }
}

#[tokio::test(start_paused = true)]
async fn an_adapter_that_was_away_for_hours_is_opened_as_soon_as_it_is_back() {
    let (plugged, attempts) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU32::new(0)),
    );
    let memory = Memory {
        framing: sim::Framing::Rtu,
        units: counting_units(&[1]),
        script: (|_| Behaviour::Answer) as fn(&Seen) -> Behaviour,
        opened: Arc::default(),
    };
    let opener = Pluggable {
        memory,
        plugged: Arc::clone(&plugged),
        attempts: Arc::clone(&attempts),
    };
    let (bus, owner) = Bus::new(opener, rtu_settings(), 1);
    tokio::spawn(owner.run());
    tokio::time::sleep(Duration::from_secs(10_000)).await;
    let attempts = attempts.load(Ordering::Relaxed);
    assert!(attempts < 500, "{attempts} attempts");
    plugged.store(true, Ordering::Relaxed);
    let before = Instant::now();
    bus.state().wait_for(|state| state.open).await.unwrap();
    assert!(
        before.elapsed() < Duration::from_secs(2),
        "{:?}",
        before.elapsed()
    );
    assert_eq!(bus.ask(read(1, 9, 1)).await.unwrap().reply, registers(&[9]));
}
