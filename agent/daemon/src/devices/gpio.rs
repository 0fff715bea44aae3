//! Digital lines of this board.

use lamplighter_adapters::{
    gpio::{Bias, Direction, Drive, Feedback, Gpio, GpioPoint, Lines, sim::SimPins},
    supervise::Limits,
};

use super::Starter;
use crate::config::{self, Backend, Device};

impl Starter<'_> {
    pub(super) fn gpio(&mut self, device: &Device, gpio: &config::Gpio) -> Result<(), String> {
        match gpio.backend {
            Backend::Auto | Backend::Cdev => self.cdev(device, gpio),
            Backend::Rppal => self.rppal(device, gpio),
            Backend::Sim => {
                self.lines(device, gpio, SimPins::default().lines());
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
                max_age: std::time::Duration::MAX,
                ..Limits::default()
            },
        );
    }
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
            (Direction::Output, std::time::Duration::ZERO, exit)
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

const fn bias(bias: config::Bias) -> Bias {
    match bias {
        config::Bias::AsIs => Bias::AsIs,
        config::Bias::Disabled => Bias::Disabled,
        config::Bias::PullDown => Bias::PullDown,
        config::Bias::PullUp => Bias::PullUp,
    }
}
