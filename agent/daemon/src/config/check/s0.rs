//! `adapter = "s0"`: meters with a pulse output.

use std::{collections::BTreeMap, time::Duration};

use lamplighter_adapters::{
    meter::Unit,
    s0::{Quantity, Scale},
};
use lamplighter_model::{Decimal, device::AdapterId};
use lamplighter_site::boundary::PointConfig;

use super::{
    Checker, below,
    device::LineKey,
    point::{Carries, Common, Writable},
};
use crate::config::{
    checked::{S0, S0Point},
    layer::Key,
    schema,
};

const PULSES: &str = "how many pulses the meter gives for one `unit`; it is written on it";

/// What is counted, and what that is in an hour.
const RATES: [(&str, &str); 6] = [
    ("Wh", "W"),
    ("varh", "var"),
    ("VAh", "VA"),
    ("m3", "m3/h"),
    ("J", "J/h"),
    ("kg", "kg/h"),
];

impl Checker<'_> {
    pub(super) fn s0(
        &mut self,
        at: &Key,
        id: AdapterId,
        device: &schema::S0Device,
        lines: &mut BTreeMap<LineKey, Key>,
    ) -> (Option<S0>, Vec<PointConfig>) {
        let backend = self.backend(at, device.backend);
        let chip = device.chip.as_ref();
        let chip = chip.and_then(|chip| self.chip(&below(at, "chip"), chip));
        let line = self.required(at, "line", device.line.as_ref());
        if let Some(line) = line {
            let line = (backend, chip.clone().unwrap_or_default(), line.clone());
            self.claim_line(at, "line", line, lines);
        }
        let scale = self.scale(at, device);
        let start = device.counter_start.as_ref();
        let start = start.map_or_else(|| Some(Decimal::from(0)), |text| self.start(at, &text.0));
        let (mut points, mut configs) = (Vec::new(), Vec::new());
        for (name, point) in &device.point {
            let at = below(&below(at, "point"), name);
            if let Some((point, config)) = self.s0_point(&at, id, point, scale) {
                points.push(point);
                configs.push(config);
            }
        }
        let debounce = device.debounce_ms.unwrap_or(10);
        let debounce = self.within(&below(at, "debounce_ms"), debounce, 0, 25);
        let every = device.every_s.unwrap_or(10);
        let every = self.within(&below(at, "every_s"), every, 1, 3600);
        let zero_after = device.zero_after_s.unwrap_or(300);
        let zero_after = self.within(&below(at, "zero_after_s"), zero_after, 10, 86_400);
        let whole = line.cloned().zip(scale).zip(start);
        let meter = whole.map(|((line, scale), start)| S0 {
            backend,
            chip,
            line,
            active_low: device.active_low.unwrap_or(true),
            bias: device.bias.unwrap_or(schema::Bias::PullUp),
            debounce: Duration::from_millis(debounce),
            scale,
            start,
            every: Duration::from_secs(every),
            zero_after: Duration::from_secs(zero_after),
            points,
        });
        (meter, configs)
    }

    fn scale(&mut self, at: &Key, device: &schema::S0Device) -> Option<Scale> {
        let unit = device.unit.as_deref().unwrap_or("kWh");
        let unit: Option<Unit> = unit.parse().ok();
        if unit.is_none() {
            let what = "this is no unit of a counter";
            self.error(&below(at, "unit"), what, "Wh, kWh, varh, VAh, m3, l, kg");
        }
        let pulses = device.pulses_per_unit;
        if pulses.is_none() {
            self.missing(at, "pulses_per_unit", PULSES);
        }
        let most = 10_000_000;
        let pulses =
            pulses.map(|pulses| self.within(&below(at, "pulses_per_unit"), pulses, 1, most));
        Some(Scale {
            pulses_per_unit: pulses?,
            unit: unit?,
        })
    }

    fn start(&mut self, at: &Key, text: &str) -> Option<Decimal> {
        let start: Option<Decimal> = text.parse().ok();
        let start = start.filter(|start| *start >= Decimal::from(0));
        if start.is_none() {
            let what = format!("`{text}` is not what a meter shows");
            self.error(&below(at, "counter_start"), what, "for example \"12345.6\"");
        }
        start
    }

    fn s0_point(
        &mut self,
        at: &Key,
        id: AdapterId,
        point: &schema::S0Point,
        scale: Option<Scale>,
    ) -> Option<(S0Point, PointConfig)> {
        let wanted = self.required(at, "quantity", point.quantity);
        let common = Common {
            resource: point.resource.as_ref(),
            unit: point.unit.as_ref(),
            ..Common::default()
        };
        let checked = self.point(at, id, common, Carries::Number, Writable::No);
        let ((checked, config), scale) = checked.zip(scale)?;
        let quantity = quantity(wanted?, scale.unit, &checked.unit);
        if quantity.is_none() {
            let what = format!(
                "what pulses of {} tell is not in {}",
                scale.unit, checked.unit
            );
            self.error(&below(at, "unit"), what, "Wh for a counter, W for a power");
        }
        let point = S0Point {
            point: checked,
            quantity: quantity?,
        };
        Some((point, config))
    }
}

/// `None` where the unit is another kind of thing.
fn quantity(wanted: schema::S0Quantity, counted: Unit, unit: &str) -> Option<Quantity> {
    let told: Option<Unit> = match unit {
        "" => None,
        text => Some(text.parse().ok()?),
    };
    match wanted {
        schema::S0Quantity::Counter => {
            let told = told.unwrap_or(counted);
            counted.power_to(told).map(|_| Quantity::Counter(told))
        }
        schema::S0Quantity::Power => RATES.iter().find_map(|(of, rate)| {
            let power = counted.power_to(Unit::new(of, 0)?)?;
            let rate = Unit::new(rate, power)?;
            rate.power_to(told.unwrap_or(rate)).map(Quantity::Power)
        }),
    }
}
