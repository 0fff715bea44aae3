//! Writing: how a value reaches its register, and whether it is there afterwards.

use lamplighter_model::{
    Decimal, Sample, Value,
    device::{Assignment, Fault},
};
use tokio::time::sleep;
use tracing::info;

use super::{
    super::{
        bus::{BusError, Class},
        codec::{CodecError, Masked, RegisterType},
        config::{DeviceConfig, PointConfig, Verify, WriteConfig, WriteFunction},
        frame::{ExceptionCode, Reply, Request},
        plan::RegisterRange,
    },
    ModbusDevice,
    poll::{decode, read_of},
};

/// One point's part of a Write, laid out.
pub(super) struct Write<'a> {
    pub(super) point: &'a PointConfig,
    how: WriteConfig,
    value: &'a Value,
    request: Request,
}

const ILLEGAL_FUNCTION: ExceptionCode = ExceptionCode(1);
/// A register of which somebody else changed another part meanwhile is read and written again.
const CHANGE_ATTEMPTS: u32 = 3;

impl<'a> Write<'a> {
    /// Nothing is sent yet.
    pub(super) fn prepare(
        config: &'a DeviceConfig,
        assignment: &'a Assignment,
    ) -> Result<Self, Fault> {
        let value = &assignment.value;
        let point = config
            .points
            .iter()
            .find(|point| point.address == assignment.address && point.write.is_some());
        let (Some(point), None) = (point, assignment.index) else {
            return Err(Fault::Unsupported);
        };
        let (Some(how), Some(range)) = (point.write, point.write_range(config.addressing)) else {
            return Err(Fault::Unsupported);
        };
        let request = request_for(point, how.function, range, value)
            .map_err(|error| Fault::BadValue(error.to_string()))?;
        Ok(Self {
            point,
            how,
            value,
            request,
        })
    }
}

impl ModbusDevice {
    pub(super) async fn carry_out(&mut self, write: &Write<'_>) -> Result<(), Fault> {
        if let Request::MaskWrite { at, keep, set } = write.request {
            return self.write_part(write, at, Masked { keep, set }).await;
        }
        let reply = self.ask(write.request.clone(), Class::Command).await?;
        match (write.how.verify, &reply) {
            (None, _) => Ok(()),
            // Function 23 has read it back already.
            (Some(verify), Reply::Registers(_)) => self.check(write, verify, &reply),
            (Some(verify), Reply::Bits(_) | Reply::Written) => self.verify(write, verify).await,
        }
    }

    /// Writes part of a register: by the function for that, or where the device has no such function
    /// by reading and writing the whole.
    async fn write_part(
        &mut self,
        write: &Write<'_>,
        at: u16,
        masked: Masked,
    ) -> Result<(), Fault> {
        let by_function = match write.how.function {
            WriteFunction::Auto => !self.lacks_mask_write,
            WriteFunction::Mask => true,
            WriteFunction::Multiple | WriteFunction::ReadWrite | WriteFunction::Single => false,
        };
        if !by_function {
            return self.change(write, at, masked).await;
        }
        match self.try_ask(&write.request, Class::Command).await {
            Ok(_) => match write.how.verify {
                Some(verify) => self.verify(write, verify).await,
                None => Ok(()),
            },
            Err(BusError::Exception(ILLEGAL_FUNCTION))
                if write.how.function == WriteFunction::Auto =>
            {
                self.lacks_mask_write = true;
                info!(
                    device = self.config.name,
                    "Device has no function to write part of a register: it is read and written whole"
                );
                self.change(write, at, masked).await
            }
            Err(error) => Err(self.on_error(&error, &write.request)),
        }
    }

    /// Reads a register, changes a part of it and writes it. It is read back always: another master,
    /// or the device, may have changed the rest between the two, and would then be overruled.
    async fn change(&mut self, write: &Write<'_>, at: u16, masked: Masked) -> Result<(), Fault> {
        let range = write.point.write_range(self.config.addressing);
        let range = range.ok_or(Fault::Unsupported)?;
        let mut before = self.register(range).await?;
        for _ in 0..CHANGE_ATTEMPTS {
            let value = before & masked.keep | masked.set & !masked.keep;
            let request = match write.how.function {
                WriteFunction::Multiple => Request::WriteRegisters {
                    at,
                    values: vec![value],
                },
                WriteFunction::Auto
                | WriteFunction::Mask
                | WriteFunction::ReadWrite
                | WriteFunction::Single => Request::WriteRegister { at, value },
            };
            self.ask(request, Class::Command).await?;
            sleep(write.how.verify.unwrap_or_default().settle).await;
            let after = self.register(range).await?;
            if after & !masked.keep == masked.set & !masked.keep {
                return Ok(());
            }
            before = after;
        }
        Err(not_read_back())
    }

    async fn register(&mut self, range: RegisterRange) -> Result<u16, Fault> {
        match self.ask(read_of(range), Class::Command).await? {
            Reply::Registers(registers) if registers.len() == 1 => Ok(registers[0]),
            Reply::Bits(_) | Reply::Registers(_) | Reply::Written => Err(Fault::Unsupported),
        }
    }

    async fn verify(&mut self, write: &Write<'_>, verify: Verify) -> Result<(), Fault> {
        sleep(verify.settle).await;
        let addressing = self.config.addressing;
        let Some(range) = write
            .point
            .read_range(addressing)
            .or_else(|| write.point.write_range(addressing))
        else {
            return Err(Fault::Unsupported);
        };
        let reply = self.ask(read_of(range), Class::Command).await?;
        self.check(write, verify, &reply)
    }

    /// What is read back is what the point is now.
    fn check(&mut self, write: &Write<'_>, verify: Verify, read: &Reply) -> Result<(), Fault> {
        check(write, verify, read)?;
        let at = self.clock.stamp();
        let sample = decode(write.point, read, 0).map(|(value, quality)| Sample {
            quality,
            ..Sample::good(write.point.address, value, at)
        });
        self.read_back.extend(sample);
        Ok(())
    }
}

fn request_for(
    point: &PointConfig,
    function: WriteFunction,
    range: RegisterRange,
    value: &Value,
) -> Result<Request, CodecError> {
    let at = range.at;
    if point.codec.kind == RegisterType::Bool {
        let on = point.codec.encode_bit(value)?;
        return Ok(match function {
            WriteFunction::Auto
            | WriteFunction::Mask
            | WriteFunction::ReadWrite
            | WriteFunction::Single => Request::WriteCoil { at, on },
            WriteFunction::Multiple => Request::WriteCoils { at, on: vec![on] },
        });
    }
    if point.codec.kind.field().is_some() {
        let Masked { keep, set } = point.codec.encode_field(value)?;
        return Ok(Request::MaskWrite { at, keep, set });
    }
    let values = point.codec.encode(value)?;
    Ok(match (function, values.as_slice()) {
        (WriteFunction::ReadWrite, _) => Request::WriteAndRead { at, values },
        (WriteFunction::Auto | WriteFunction::Mask | WriteFunction::Single, [value]) => {
            Request::WriteRegister { at, value: *value }
        }
        (
            WriteFunction::Auto
            | WriteFunction::Mask
            | WriteFunction::Multiple
            | WriteFunction::Single,
            _,
        ) => Request::WriteRegisters { at, values },
    })
}

fn check(write: &Write<'_>, verify: Verify, read: &Reply) -> Result<(), Fault> {
    if is_as_written(read, &write.request) {
        return Ok(());
    }
    let value = decode(write.point, read, 0).map(|(value, _)| value);
    let is_near = verify
        .tolerance
        .zip(value.as_ref())
        .is_some_and(|(tolerance, value)| is_near(value, write.value, tolerance));
    if is_near {
        return Ok(());
    }
    Err(not_read_back())
}

fn not_read_back() -> Fault {
    Fault::Device("the device does not read back what was written".to_owned())
}

fn is_as_written(read: &Reply, written: &Request) -> bool {
    match (read, written) {
        (Reply::Bits(bits), Request::WriteCoil { on, .. }) => bits == &[*on],
        (Reply::Bits(bits), Request::WriteCoils { on, .. }) => bits == on,
        (Reply::Registers(registers), Request::WriteRegister { value, .. }) => {
            registers == &[*value]
        }
        (
            Reply::Registers(registers),
            Request::WriteAndRead { values, .. } | Request::WriteRegisters { values, .. },
        ) => registers == values,
        (Reply::Registers(registers), Request::MaskWrite { keep, set, .. }) => {
            matches!(registers.as_slice(), [register] if register & !keep == set & !keep)
        }
        (Reply::Bits(_) | Reply::Registers(_) | Reply::Written, _) => false,
    }
}

fn is_near(read: &Value, wanted: &Value, tolerance: Decimal) -> bool {
    let (Some(read), Some(wanted)) = (read.as_f64(), wanted.as_f64()) else {
        return false;
    };
    // Half a millionth of the tolerance for what floats cannot hold exactly.
    (read - wanted).abs() <= tolerance.to_f64() * (1.0 + 5e-7)
}
