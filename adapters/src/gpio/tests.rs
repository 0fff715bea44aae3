use lamplighter_model::{BootId, device::LinkState};
use tokio::time::{sleep, timeout};

use super::{sim::SimPins, *};

const LAMP: ResourceAddress = ResourceAddress::gateway(3416, 1, 1);
const HAND: ResourceAddress = ResourceAddress::gateway(3342, 9, 5500);

fn clock() -> Clock {
    let start = Instant::now();
    Clock::new(move || Stamp {
        boot: BootId(1),
        mono: start.elapsed(),
    })
}

fn on(address: ResourceAddress, level: bool) -> Vec<Assignment> {
    vec![Assignment {
        address,
        index: None,
        value: Value::Boolean(level),
    }]
}

fn lamp_with_feedback() -> GpioPoint {
    let feedback = Feedback {
        line: "GPIO16".into(),
        active_low: false,
        bias: Bias::AsIs,
        debounce: Duration::ZERO,
        within: Duration::from_millis(500),
    };
    GpioPoint {
        active_low: true,
        feedback: Some(feedback),
        ..GpioPoint::output(LAMP, "GPIO5")
    }
}

async fn news<L: Lines>(gpio: &mut Gpio<L>) -> Vec<(ResourceAddress, bool)> {
    let Wake::News(samples) = gpio.wait().await.unwrap() else {
        panic!("no news")
    };
    let level = |sample: &Sample| (sample.address, sample.value == Value::Boolean(true));
    samples.iter().map(level).collect()
}

#[tokio::test(start_paused = true)]
async fn an_output_is_driven_by_its_first_write_only_and_without_a_glitch() {
    let pins = SimPins::default();
    let point = GpioPoint {
        active_low: true,
        ..GpioPoint::output(LAMP, "GPIO5")
    };
    let mut gpio = Gpio::new(pins.lines(), &[point], clock());
    let resource = [LAMP.path.resource];
    assert!(
        timeout(Duration::from_secs(60), gpio.wait()).await.is_err(),
        "nothing to tell"
    );
    assert_eq!(
        gpio.read(LAMP.instance(), &resource).await,
        Err(Fault::NoValue)
    );
    assert_eq!(pins.driven("GPIO5"), None);
    gpio.write(&on(LAMP, true)).await.unwrap();
    assert_eq!(
        gpio.read(LAMP.instance(), &resource).await.unwrap()[0].value,
        Value::Boolean(true)
    );
    let levels: Vec<bool> = pins
        .transitions("GPIO5")
        .iter()
        .map(|transition| transition.level)
        .collect();
    assert_eq!(levels, [false], "active-low, and never high on the way");
    assert_eq!(news(&mut gpio).await, [(LAMP, true)]);
    drop(gpio);
    assert_eq!(pins.driven("GPIO5"), Some(false), "kept on exit");
}

#[tokio::test(start_paused = true)]
async fn an_input_tells_its_first_level_and_each_edge_with_its_time() {
    let pins = SimPins::default();
    let point = GpioPoint {
        bias: Bias::PullUp,
        active_low: true,
        ..GpioPoint::input(HAND, "GPIO22")
    };
    let mut gpio = Gpio::new(pins.lines(), &[point], clock());
    assert_eq!(news(&mut gpio).await, [(HAND, false)]);
    sleep(Duration::from_secs(1)).await;
    pins.set_input("GPIO22", false);
    sleep(Duration::from_secs(4)).await;
    let Wake::News(samples) = gpio.wait().await.unwrap() else {
        panic!("no news")
    };
    assert_eq!(samples[0].value, Value::Boolean(true));
    assert_eq!(
        samples[0].at.mono,
        Duration::from_secs(1),
        "when it happened, not when it was asked"
    );
}

#[tokio::test(start_paused = true)]
async fn a_bouncing_contact_is_one_change() {
    let pins = SimPins::default();
    let point = GpioPoint {
        debounce: Duration::from_millis(20),
        ..GpioPoint::input(HAND, "GPIO22")
    };
    let mut gpio = Gpio::new(pins.lines(), &[point], clock());
    news(&mut gpio).await;
    let ms = Duration::from_millis;
    pins.set_input_later(
        "GPIO22",
        &[
            (ms(0), true),
            (ms(3), false),
            (ms(5), true),
            (ms(9), false),
            (ms(11), true),
        ],
    );
    assert_eq!(news(&mut gpio).await, [(HAND, true)]);
    pins.set_input_later("GPIO22", &[(ms(0), false), (ms(5), true)]);
    assert!(
        timeout(Duration::from_secs(5), gpio.wait()).await.is_err(),
        "a glitch is no change"
    );
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_edges_is_bounded_and_ends_in_the_right_level() {
    let pins = SimPins::default();
    let mut gpio = Gpio::new(pins.lines(), &[GpioPoint::input(HAND, "GPIO22")], clock());
    news(&mut gpio).await;
    for number in 0..100_000 {
        pins.set_input("GPIO22", number % 2 == 0);
    }
    pins.set_input("GPIO22", true);
    let samples = gpio
        .read(HAND.instance(), &[HAND.path.resource])
        .await
        .unwrap();
    assert_eq!(samples[0].value, Value::Boolean(true));
}

#[tokio::test(start_paused = true)]
async fn a_write_waits_for_its_contact_and_measures_it() {
    let pins = SimPins::default();
    pins.wire("GPIO5", "GPIO16", Duration::from_millis(80), true);
    let mut gpio = Gpio::new(pins.lines(), &[lamp_with_feedback()], clock());
    assert_eq!(
        news(&mut gpio).await,
        [(LAMP, false)],
        "the contact is known before any write"
    );
    let start = Instant::now();
    gpio.write(&on(LAMP, true)).await.unwrap();
    assert!(
        start.elapsed() >= Duration::from_millis(80)
            && start.elapsed() < Duration::from_millis(100)
    );
    assert_eq!(news(&mut gpio).await, [(LAMP, true)]);
}

#[tokio::test(start_paused = true)]
async fn a_stuck_contact_fails_the_write_with_words() {
    let pins = SimPins::default();
    let mut gpio = Gpio::new(pins.lines(), &[lamp_with_feedback()], clock());
    let fault = gpio.write(&on(LAMP, true)).await.unwrap_err();
    assert_eq!(
        fault,
        Fault::Device("feedback GPIO16 is still off 500 ms after GPIO5 was switched on".into())
    );
    assert_eq!(
        news(&mut gpio).await,
        [(LAMP, false)],
        "the measured state is told"
    );
    pins.set_input("GPIO16", true);
    assert_eq!(
        news(&mut gpio).await,
        [(LAMP, true)],
        "also when it moves by itself"
    );
}

#[tokio::test(start_paused = true)]
async fn several_outputs_of_one_write_are_checked_before_any_is_driven() {
    let pins = SimPins::default();
    let points = [
        GpioPoint::output(LAMP, "GPIO5"),
        GpioPoint::input(HAND, "GPIO22"),
    ];
    let mut gpio = Gpio::new(pins.lines(), &points, clock());
    let both = [on(LAMP, true), on(HAND, true)].concat();
    assert_eq!(gpio.write(&both).await, Err(Fault::Unsupported));
    let number = [Assignment {
        address: LAMP,
        index: None,
        value: Value::Integer(1),
    }];
    assert_eq!(
        gpio.write(&number).await,
        Err(Fault::BadValue("a line is on or off".into()))
    );
    assert_eq!(pins.driven("GPIO5"), None);
}

#[tokio::test(start_paused = true)]
async fn lines_that_go_away_are_reported_and_opened_again() {
    let pins = SimPins::default();
    let gpio = Gpio::new(pins.lines(), &[GpioPoint::input(HAND, "GPIO22")], clock());
    let (mut handle, port) = crate::Port::pair();
    tokio::spawn(crate::supervise(
        gpio,
        port,
        clock(),
        crate::Limits::default(),
    ));
    let mut next = async |state: LinkState| loop {
        let event = handle.events.recv().await.unwrap();
        if let lamplighter_model::device::AdapterEvent::Link(now, words) = event
            && now == state
        {
            return words;
        }
    };
    next(LinkState::Online).await;
    pins.break_down(Some("line GPIO22 is used by another program"));
    assert_eq!(
        next(LinkState::Suspect).await,
        "line GPIO22 is used by another program"
    );
    pins.break_down(None);
    next(LinkState::Online).await;
}

#[tokio::test(start_paused = true)]
async fn an_output_has_its_exit_level_at_the_end_if_anybody_has_driven_it() {
    let pins = SimPins::default();
    let second = ResourceAddress::gateway(3416, 2, 1);
    let point = |address, line: &str| GpioPoint {
        active_low: true,
        exit: Some(false),
        ..GpioPoint::output(address, line)
    };
    let points = [point(LAMP, "GPIO5"), point(second, "GPIO6")];
    let mut gpio = Gpio::new(pins.lines(), &points, clock());
    gpio.write(&on(LAMP, true)).await.unwrap();
    drop(gpio);
    let levels: Vec<bool> = pins
        .transitions("GPIO5")
        .iter()
        .map(|transition| transition.level)
        .collect();
    assert_eq!(levels, [false, true], "on, then off; active-low");
    assert_eq!(pins.driven("GPIO6"), None, "never decided, never driven");
}

#[tokio::test(start_paused = true)]
async fn a_dimmed_output_takes_levels_and_is_on_or_off_at_the_end() {
    let pins = SimPins::default();
    let point = GpioPoint {
        active_low: true,
        pwm: Some(200),
        ..GpioPoint::output(LAMP, "GPIO18")
    };
    let mut gpio = Gpio::new(pins.lines(), &[point], clock());
    let level = |value| {
        vec![Assignment {
            address: LAMP,
            index: None,
            value,
        }]
    };
    assert_eq!(pins.dimmed("GPIO18"), None, "nobody has decided");
    gpio.write(&level(Value::Integer(30))).await.unwrap();
    assert_eq!(pins.dimmed("GPIO18"), Some(70), "high is off");
    let read = gpio.read(LAMP.instance(), &[LAMP.path.resource]).await;
    assert_eq!(read.unwrap()[0].value, Value::Integer(30));
    for wrong in [
        Value::Integer(101),
        Value::Integer(-1),
        Value::String("x".into()),
    ] {
        let refused = gpio.write(&level(wrong)).await;
        assert_eq!(refused, Err(Fault::BadValue("a level is 0 to 100".into())));
    }
    gpio.write(&level(Value::Boolean(false))).await.unwrap();
    assert_eq!(pins.dimmed("GPIO18"), Some(100));
    gpio.write(&level(Value::Integer(55))).await.unwrap();
    drop(gpio);
    assert_eq!(
        pins.dimmed("GPIO18"),
        Some(0),
        "pulses end with the program: on"
    );
}
