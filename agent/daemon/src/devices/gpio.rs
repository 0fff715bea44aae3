//! Digital lines of this board.

use std::time::Duration;

use lamplighter_adapters::{
    gpio::{Bias, Direction, Drive, Feedback, Gpio, GpioPoint, Lines, sim::SimPins},
    supervise::Limits,
};

use super::Starter;
use crate::config::{self, Backend, Device};

/// Less than the shortest time that a contact may be given.
const CONTACT_DELAY: Duration = Duration::from_millis(5);

impl Starter<'_> {
    pub(super) fn gpio(&mut self, device: &Device, gpio: &config::Gpio) -> Result<(), String> {
        match gpio.backend {
            Backend::Auto | Backend::Cdev => self.cdev(device, gpio),
            Backend::Rppal => self.rppal(device, gpio),
            Backend::Sim => {
                self.lines(device, gpio, pins(gpio).lines());
                Ok(())
            }
        }
    }

    #[cfg(feature = "gpio-cdev")]
    fn cdev(&mut self, device: &Device, gpio: &config::Gpio) -> Result<(), String> {
        self.lines(
            device,
            gpio,
            lamplighter_adapters::gpio::cdev::CdevLines::new(gpio.chip.clone()),
        );
        Ok(())
    }

    #[cfg(not(feature = "gpio-cdev"))]
    #[expect(clippy::unused_self, reason = "the same call as with the feature")]
    fn cdev(&self, _: &Device, _: &config::Gpio) -> Result<(), String> {
        Err("this build has no backend for the GPIO character device".to_owned())
    }

    #[cfg(feature = "gpio-rppal")]
    fn rppal(&mut self, device: &Device, gpio: &config::Gpio) -> Result<(), String> {
        self.lines(
            device,
            gpio,
            lamplighter_adapters::gpio::rppal::RppalLines::default(),
        );
        Ok(())
    }

    #[cfg(not(feature = "gpio-rppal"))]
    #[expect(clippy::unused_self, reason = "the same call as with the feature")]
    fn rppal(&self, _: &Device, _: &config::Gpio) -> Result<(), String> {
        Err("this build has no rppal backend".to_owned())
    }

    fn lines(&mut self, device: &Device, gpio: &config::Gpio, backend: impl Lines) {
        let points: Vec<_> = gpio.points.iter().map(point).collect();
        let adapter = Gpio::new(backend, &points, self.clock.clone());
        // Lines are told on change only and never grow old.
        self.supervise(
            device.id,
            adapter,
            Limits {
                max_age: Duration::MAX,
                ..Limits::default()
            },
        );
    }
}

/// Lines in memory, on which every feedback contact follows its output.
fn pins(gpio: &config::Gpio) -> SimPins {
    let pins = SimPins::default();
    for point in &gpio.points {
        if let Some(feedback) = &point.feedback {
            let inverted = point.active_low != feedback.active_low;
            pins.wire(&point.line, &feedback.line, CONTACT_DELAY, inverted);
        }
    }
    pins
}

fn point(point: &config::GpioPoint) -> GpioPoint {
    let (direction, debounce, exit) = match point.direction {
        config::Direction::Input { debounce } => (Direction::Input, debounce, None),
        config::Direction::Output { exit } => {
            let exit = match exit {
                config::Exit::Keep => None,
                config::Exit::Off => Some(false),
                config::Exit::On => Some(true),
            };
            (Direction::Output, Duration::ZERO, exit)
        }
    };
    GpioPoint {
        address: point.point.address,
        line: point.line.clone(),
        direction,
        active_low: point.active_low,
        bias: bias(point.bias),
        debounce,
        drive: Drive::default(),
        exit,
        pwm: point.pwm_hz,
        feedback: point.feedback.as_ref().map(|feedback| Feedback {
            line: feedback.line.clone(),
            active_low: feedback.active_low,
            bias: bias(feedback.bias),
            debounce: feedback.debounce,
            within: feedback.within,
        }),
    }
}

pub(super) const fn bias(bias: config::Bias) -> Bias {
    match bias {
        config::Bias::AsIs => Bias::AsIs,
        config::Bias::Disabled => Bias::Disabled,
        config::Bias::PullDown => Bias::PullDown,
        config::Bias::PullUp => Bias::PullUp,
    }
}

#[cfg(test)]
mod tests {
    use lamplighter_adapters::{Adapter, Clock};
    use lamplighter_model::{
        DataType, ResourceAddress, Stamp, Value,
        device::{Assignment, Fault},
    };
    use lamplighter_site::boundary::PointKind;

    use super::*;
    use crate::config::{Exit, Point};

    fn with_contact(active_low: bool) -> config::Gpio {
        let address = ResourceAddress::gateway(3416, 1, 1);
        let point = Point {
            name: "lamps.l1".to_owned(),
            address,
            data_type: DataType::Boolean,
            kind: PointKind::Lamp,
            writable: true,
            unit: String::new(),
        };
        let feedback = config::Feedback {
            line: "GPIO16".to_owned(),
            within: Duration::from_millis(500),
            active_low: true,
            bias: config::Bias::PullUp,
            debounce: Duration::ZERO,
        };
        config::Gpio {
            backend: Backend::Sim,
            chip: None,
            points: vec![config::GpioPoint {
                point,
                line: "GPIO5".to_owned(),
                active_low,
                bias: config::Bias::AsIs,
                direction: config::Direction::Output { exit: Exit::Keep },
                feedback: Some(feedback),
                pwm_hz: None,
            }],
        }
    }

    async fn switch_on(gpio: &config::Gpio, pins: &SimPins) -> Result<(), Fault> {
        let points: Vec<_> = gpio.points.iter().map(point).collect();
        let mut adapter = Gpio::new(pins.lines(), &points, Clock::new(Stamp::default));
        let assignment = Assignment {
            address: points[0].address,
            index: None,
            value: Value::Boolean(true),
        };
        adapter.write(&[assignment]).await
    }

    #[tokio::test(start_paused = true)]
    async fn on_simulated_lines_contacts_follow_their_outputs() {
        for active_low in [false, true] {
            let gpio = with_contact(active_low);
            assert_eq!(switch_on(&gpio, &pins(&gpio)).await, Ok(()), "{active_low}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_contact_that_does_not_follow_fails_the_write_with_both_lines() {
        let gpio = with_contact(false);
        let failed = switch_on(&gpio, &SimPins::default()).await;
        let words = "feedback GPIO16 is still off 500 ms after GPIO5 was switched on";
        assert_eq!(failed, Err(Fault::Device(words.to_owned())));
    }
}
