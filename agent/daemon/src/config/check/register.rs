//! Points of `adapter = "modbus"`: where they are read and written, and how registers become values.

use std::{collections::BTreeMap, time::Duration};

use lamplighter_adapters::modbus::{
    Addressing, Byte, DateLayout, DeviceConfig, Order, PointCodec, PointConfig as ModbusPoint,
    ReadConfig, RegisterRange, RegisterType, Scaling, Table, Verify, WriteConfig, WriteFunction,
};
use lamplighter_model::{DataType, Decimal, device::AdapterId, object::Operations};
use lamplighter_site::boundary::{BootState, PointConfig};

use super::{
    Checker, below,
    modbus::order_of,
    point::{Carries, Common, Writable},
};
use crate::config::{checked::Point, layer::Key, schema};

/// How a device's points are read, as far as every point must know.
#[derive(Clone, Copy)]
pub(super) struct Habits {
    pub(super) adapter: AdapterId,
    pub(super) addressing: Addressing,
    pub(super) order: Order,
    pub(super) max_registers: u16,
    /// All devices of the line: they are written to and never answer.
    pub(super) is_broadcast: bool,
}

/// What a point reads.
#[derive(Clone, Copy)]
struct Register {
    table: Table,
    /// As written; the adapter counts as the device's manual does.
    at: u32,
    kind: RegisterType,
    order: Order,
}

impl Checker<'_> {
    pub(super) fn in_no_hole(&mut self, at: &Key, device: &DeviceConfig, point: &ModbusPoint) {
        let Some(read) = point.read else { return };
        let Some(first) = device.addressing.resolve(read.table, read.at) else {
            return;
        };
        let range = RegisterRange {
            table: read.table,
            at: first,
            count: point.codec.kind.width(),
        };
        if device.holes.iter().any(|hole| hole.overlaps(range)) {
            self.error(
                &below(at, "read"),
                "the point lies in one of the `holes` of its device",
                "",
            );
        }
    }

    pub(super) fn modbus_point(
        &mut self,
        at: &Key,
        habits: Habits,
        point: &schema::ModbusPoint,
    ) -> Option<(ModbusPoint, Point, PointConfig)> {
        let poll = self.within(
            &below(at, "poll_s"),
            point.poll_s.unwrap_or(60.0),
            0.1,
            86_400.0,
        );
        let read = self.required(at, "read", point.read.as_ref());
        let Some(register) = read.and_then(|read| self.register(&below(at, "read"), habits, read))
        else {
            // The rest of the point is still worth checking.
            self.point(
                at,
                habits.adapter,
                common(point),
                Carries::Anything,
                writable(point),
            );
            return None;
        };
        let carries = self.carries(at, point, register.kind);
        let write = point.write.as_ref();
        let write = write.and_then(|write| self.modbus_write(&below(at, "write"), register, write));
        let write = if habits.is_broadcast {
            self.broadcast(at, write)
        } else {
            write
        };
        let codec = self.codec(at, point, register);
        let (checked, site) =
            self.point(at, habits.adapter, common(point), carries, writable(point))?;
        let modbus = ModbusPoint {
            name: checked.name.clone(),
            address: checked.address,
            operations: if habits.is_broadcast {
                Operations::W
            } else if checked.writable {
                Operations::RW
            } else {
                Operations::R
            },
            read: (!habits.is_broadcast).then_some(ReadConfig {
                table: register.table,
                at: register.at,
            }),
            write,
            codec: PointCodec {
                data_type: checked.data_type,
                ..codec
            },
            poll: Duration::from_secs_f64(poll),
        };
        Some((modbus, checked, site))
    }

    fn register(&mut self, at: &Key, habits: Habits, read: &schema::Read) -> Option<Register> {
        let table = self.required(at, "table", read.table).map(table_of);
        let number = self.required(at, "at", read.at);
        let (table, number) = (table?, number?);
        let Some(first) = habits.addressing.resolve(table, number) else {
            let what = format!("`at = {number}` is not a number in this table");
            self.error(&below(at, "at"), what, addressing_hint(habits.addressing));
            return None;
        };
        let kind = if table.holds_bits() {
            self.single_bit(at, read)
        } else {
            self.register_type(at, read)?
        };
        if u32::from(first) + u32::from(kind.width()) > 65_536 {
            self.error(
                &below(at, "at"),
                "the value does not fit before the end of the table",
                "",
            );
        }
        if kind.width() > habits.max_registers {
            let what = format!("{} registers are more than max_registers", kind.width());
            self.error(at, what, "a value is read in one request");
        }
        Some(Register {
            table,
            at: number,
            kind,
            order: read.order.map_or(habits.order, order_of),
        })
    }

    fn single_bit(&mut self, at: &Key, read: &schema::Read) -> RegisterType {
        if read.kind.is_some()
            || read.bit.is_some()
            || read.bits.is_some()
            || read.byte.is_some()
            || read.registers.is_some()
            || read.order.is_some()
        {
            let hint = "leave out `type`, `bit`, `bits`, `byte`, `registers` and `order`";
            self.error(at, "coils and discrete inputs are single bits", hint);
        }
        RegisterType::Bool
    }

    fn register_type(&mut self, at: &Key, read: &schema::Read) -> Option<RegisterType> {
        use schema::RegisterType as Written;
        let kind = read.kind.unwrap_or(Written::U16);
        if kind != Written::String && read.registers.is_some() {
            self.error(&below(at, "registers"), "only a string has a length", "");
        }
        let has_bytes = matches!(kind, Written::I8 | Written::String | Written::U8);
        if read.byte.is_some() && !has_bytes {
            self.error(
                &below(at, "byte"),
                "`byte` is for `u8`, `i8` and `string`",
                "",
            );
        }
        if read.bit.is_some() || read.bits.is_some() {
            return Some(self.some_bits(at, kind, read));
        }
        let byte = read.byte.map_or(Byte::Low, byte_of);
        Some(match kind {
            Written::Bcd16 => RegisterType::Bcd(1),
            Written::Bcd32 => RegisterType::Bcd(2),
            Written::Bcd64 => RegisterType::Bcd(4),
            Written::DateBcd => RegisterType::Date(DateLayout::Bcd),
            Written::DateBytes => RegisterType::Date(DateLayout::Bytes),
            Written::DateIec870 => RegisterType::Date(DateLayout::Iec870),
            Written::DateWords => RegisterType::Date(DateLayout::Words),
            Written::F16 => RegisterType::F16,
            Written::F32 => RegisterType::F32,
            Written::F64 => RegisterType::F64,
            Written::I8 => RegisterType::I8(byte),
            Written::I16 => RegisterType::I16,
            Written::I32 => RegisterType::I32,
            Written::I64 => RegisterType::I64,
            Written::String => {
                let registers = self.required(at, "registers", read.registers)?;
                let registers = self.within(&below(at, "registers"), registers, 1, 125);
                match read.byte {
                    Some(_) => RegisterType::HalfText(registers, byte),
                    None => RegisterType::Text(registers),
                }
            }
            Written::U8 => RegisterType::U8(byte),
            Written::U16 => RegisterType::U16,
            Written::U32 => RegisterType::U32,
            Written::U64 => RegisterType::U64,
        })
    }

    /// `bit` or `bits`.
    fn some_bits(
        &mut self,
        at: &Key,
        kind: schema::RegisterType,
        read: &schema::Read,
    ) -> RegisterType {
        let name = if read.bit.is_some() { "bit" } else { "bits" };
        let at = below(at, name);
        if kind != schema::RegisterType::U16 {
            self.error(
                &at,
                "a bit is taken from a single register",
                "leave out `type`",
            );
        }
        match (read.bit, read.bits.as_deref()) {
            (Some(bit), None) => RegisterType::Bit(self.within(&at, bit, 0, 15)),
            (None, Some(&[lowest, highest])) if lowest <= highest && highest <= 15 => {
                RegisterType::Bits(lowest, highest - lowest + 1)
            }
            (Some(_), Some(_)) => {
                self.error(&at, "either `bit` or `bits`", "");
                RegisterType::U16
            }
            (None, _) => {
                let hint = "for example bits = [4, 7]";
                self.error(&at, "`bits` are the lowest and the highest, 0 to 15", hint);
                RegisterType::U16
            }
        }
    }

    /// What comes out of the registers, and that the keys of the point make sense for it.
    fn carries(&mut self, at: &Key, point: &schema::ModbusPoint, kind: RegisterType) -> Carries {
        let (carries, is_number) = match kind {
            RegisterType::Bit(_) | RegisterType::Bool => (Carries::Boolean, false),
            RegisterType::HalfText(..) | RegisterType::Text(_) => (Carries::Text, false),
            RegisterType::Bcd(_)
            | RegisterType::Bits(..)
            | RegisterType::Date(_)
            | RegisterType::F16
            | RegisterType::F32
            | RegisterType::F64
            | RegisterType::I8(_)
            | RegisterType::I16
            | RegisterType::I32
            | RegisterType::I64
            | RegisterType::U8(_)
            | RegisterType::U16
            | RegisterType::U32
            | RegisterType::U64 => (
                if point.map.is_empty() {
                    Carries::Number
                } else {
                    Carries::Text
                },
                true,
            ),
        };
        for (name, is_set) in [
            ("scale", point.scale.is_some()),
            ("offset", point.offset.is_some()),
            ("valid", point.valid.is_some()),
            ("invalid", !point.invalid.is_empty()),
            ("map", !point.map.is_empty()),
        ] {
            if is_set && !is_number {
                self.error(
                    &below(at, name),
                    format!("`{name}` is for numbers in registers"),
                    "",
                );
            }
        }
        carries
    }

    fn codec(&mut self, at: &Key, point: &schema::ModbusPoint, register: Register) -> PointCodec {
        let scale = self.decimal(&below(at, "scale"), point.scale.unwrap_or(1.0));
        if scale == Decimal::new(0, 0) {
            self.error(
                &below(at, "scale"),
                "a scale of 0 leaves nothing of the value",
                "",
            );
        }
        let offset = self.decimal(&below(at, "offset"), point.offset.unwrap_or(0.0));
        PointCodec {
            scaling: Scaling { scale, offset },
            map: self.map(&below(at, "map"), &point.map),
            invalid: point.invalid.iter().copied().map(Decimal::from).collect(),
            valid: point
                .valid
                .as_ref()
                .and_then(|valid| self.valid(&below(at, "valid"), valid)),
            ..PointCodec::plain(register.kind, register.order, DataType::None)
        }
    }

    fn modbus_write(
        &mut self,
        at: &Key,
        register: Register,
        write: &schema::Write,
    ) -> Option<WriteConfig> {
        if matches!(register.table, Table::Discrete | Table::Input) {
            self.error(
                at,
                "inputs cannot be written",
                "the tables that can are coil and holding",
            );
            return None;
        }
        let (is_coil, is_part) = (
            register.table == Table::Coil,
            register.kind.field().is_some(),
        );
        let (function, fits) = match write.function {
            None => (WriteFunction::Auto, true),
            Some(schema::WriteFunction::MaskWrite) => (WriteFunction::Mask, is_part),
            Some(schema::WriteFunction::ReadWrite) => {
                (WriteFunction::ReadWrite, !is_coil && !is_part)
            }
            Some(schema::WriteFunction::WriteCoil) => (WriteFunction::Single, is_coil),
            Some(schema::WriteFunction::WriteMultiple) => (WriteFunction::Multiple, true),
            Some(schema::WriteFunction::WriteSingle) => (
                WriteFunction::Single,
                !is_coil && register.kind.width() == 1,
            ),
        };
        if !fits {
            self.error(
                &below(at, "function"),
                "this function cannot write this value",
                "leave `function` out",
            );
        }
        let tolerance = write.tolerance.map(|most| {
            let most = self.within(&below(at, "tolerance"), most, 0.0, 1e9);
            self.decimal(&below(at, "tolerance"), most)
        });
        let settle = self.within(
            &below(at, "settle_ms"),
            write.settle_ms.unwrap_or(0),
            0,
            3000,
        );
        let read_back = Verify {
            tolerance,
            settle: Duration::from_millis(settle),
        };
        Some(WriteConfig {
            table: register.table,
            at: register.at,
            function,
            verify: match write.verify.unwrap_or(schema::Verify::ReadBack) {
                schema::Verify::Answer => None,
                schema::Verify::ReadBack => Some(read_back),
            },
        })
    }

    /// A write to all devices: nothing comes back that could be compared.
    fn broadcast(&mut self, at: &Key, write: Option<WriteConfig>) -> Option<WriteConfig> {
        let hint = "add `write = { verify = \"answer\" }`";
        let Some(write) = write else {
            self.error(
                at,
                "unit 0 is all devices of the line: it can only be written",
                hint,
            );
            return None;
        };
        if write.verify.is_some() || write.function == WriteFunction::ReadWrite {
            let at = below(at, "write");
            self.error(&at, "nobody answers a write to all devices", hint);
        }
        Some(WriteConfig {
            verify: None,
            ..write
        })
    }

    pub(super) fn valid(&mut self, at: &Key, valid: &[f64]) -> Option<(Decimal, Decimal)> {
        if let [lowest, highest] = *valid
            && lowest < highest
        {
            return Some((self.decimal(at, lowest), self.decimal(at, highest)));
        }
        let hint = "for example valid = [-40.0, 90.0]";
        self.error(
            at,
            "`valid` is the lowest and the highest credible value",
            hint,
        );
        None
    }

    fn map(&mut self, at: &Key, map: &BTreeMap<String, String>) -> BTreeMap<i64, String> {
        let mut checked: BTreeMap<i64, String> = BTreeMap::new();
        for (number, text) in map {
            let Ok(raw) = number.parse() else {
                self.error(
                    &below(at, number),
                    format!("`{number}` is not a whole number"),
                    "",
                );
                continue;
            };
            if checked.values().any(|other| other == text) {
                self.error(
                    &below(at, number),
                    format!("two numbers mean \"{text}\""),
                    "",
                );
            }
            checked.insert(raw, text.clone());
        }
        checked
    }

    /// A decimal number exactly as it was written.
    fn decimal(&mut self, at: &Key, number: f64) -> Decimal {
        number.to_string().parse().unwrap_or_else(|_| {
            self.error(at, format!("{number} has too many digits"), "");
            Decimal::new(1, 0)
        })
    }
}

fn common(point: &schema::ModbusPoint) -> Common<'_> {
    Common {
        dims: false,
        resource: point.resource.as_ref(),
        instance: point.instance.as_ref(),
        unit: point.unit.as_ref(),
        limit: point.limit.as_ref(),
        guard: point.guard.as_ref(),
        min_switch_s: point.min_switch_s,
        power_return_spread_s: point.power_return_spread_s,
        fail_safe: point.fail_safe.as_ref(),
        boot: BootState::Adopt,
    }
}

fn writable(point: &schema::ModbusPoint) -> Writable {
    if point.write.is_some() {
        Writable::Yes
    } else {
        Writable::No
    }
}

fn byte_of(byte: schema::Byte) -> Byte {
    match byte {
        schema::Byte::High => Byte::High,
        schema::Byte::Low => Byte::Low,
    }
}

fn table_of(table: schema::Table) -> Table {
    match table {
        schema::Table::Coil => Table::Coil,
        schema::Table::Discrete => Table::Discrete,
        schema::Table::Holding => Table::Holding,
        schema::Table::Input => Table::Input,
    }
}

fn addressing_hint(addressing: Addressing) -> &'static str {
    match addressing {
        Addressing::Modicon => {
            "with modicon addressing coils begin at 1, discrete inputs at 10001, input registers at 30001, holding registers at 40001"
        }
        Addressing::OneBased => "with one_based addressing the first is 1, the last 65536",
        Addressing::ZeroBased => "0 to 65535; see `addressing` for other ways of counting",
    }
}
