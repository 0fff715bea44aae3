//! Telegrams of text.

use super::Registers;

/// DSMR 5: with a check at the end.
pub(super) fn p1(registers: &Registers) -> Vec<u8> {
    let serial = identifier(registers);
    let (energy, power) = (thousandths(registers.energy_wh, 6), kilowatts(registers));
    let (voltage, gas) = (
        tenths(registers.voltage_dv),
        thousandths(registers.gas_l, 5),
    );
    let (taken, given) = power;
    let text = format!(
        "/LMP5lamplighter\r\n\r\n1-3:0.2.8(50)\r\n0-0:1.0.0(261122091500W)\r\n0-0:96.1.1({serial})\r\n\
         1-0:1.8.1({energy}*kWh)\r\n1-0:2.8.1(000000.000*kWh)\r\n0-0:96.14.0(0001)\r\n\
         1-0:1.7.0({taken}*kW)\r\n1-0:2.7.0({given}*kW)\r\n0-0:96.7.21(00004)\r\n\
         1-0:99.97.0(0)(0-0:96.7.19)\r\n0-0:96.13.0()\r\n1-0:32.7.0({voltage}*V)\r\n\
         0-1:24.1.0(003)\r\n0-1:96.1.0(3232323241424344313233343536373839)\r\n\
         0-1:24.2.1(261122091000W)({gas}*m3)\r\n!"
    );
    let check = crc16(text.as_bytes());
    format!("{text}{check:04X}\r\n").into_bytes()
}

/// DSMR 2.2 and 3: no check, and the value of a sub-meter in a line of its own.
pub(super) fn p1_old(registers: &Registers) -> Vec<u8> {
    let serial = identifier(registers);
    let (energy, gas) = (
        thousandths(registers.energy_wh, 5),
        thousandths(registers.gas_l, 5),
    );
    let (taken, given) = kilowatts(registers);
    format!(
        "/LMP2lamplighter\r\n\r\n0-0:96.1.1({serial})\r\n1-0:1.8.1({energy}*kWh)\r\n\
         1-0:1.7.0({taken}*kW)\r\n1-0:2.7.0({given}*kW)\r\n0-0:17.0.0(999.9*kW)\r\n\
         0-1:24.1.0(03)\r\n0-1:24.3.0(261122090000)(00)(60)(1)(0-1:24.2.1)(m3)\r\n({gas})\r\n\
         0-1:24.4.0(1)\r\n!\r\n"
    )
    .into_bytes()
}

/// IEC 62056-21, mode D.
pub(super) fn mode_d(registers: &Registers) -> Vec<u8> {
    let serial = number(registers);
    let energy = thousandths(registers.energy_wh, 7);
    let (taken, _) = kilowatts(registers);
    let voltage = tenths(registers.voltage_dv);
    format!(
        "/LMP3lamplighter\r\n\r\nF.F(00000000)\r\n0.0.0({serial:08})\r\n1.8.0({energy}*kWh)\r\n\
         1.7.0({taken}*kW)\r\n32.7.0({voltage}*V)\r\n!\r\n"
    )
    .into_bytes()
}

/// CRC-16/ARC.
fn crc16(bytes: &[u8]) -> u16 {
    let mut crc = 0_u16;
    for byte in bytes {
        crc ^= u16::from(*byte);
        for _ in 0..8 {
            let carry = crc & 1;
            crc >>= 1;
            if carry == 1 {
                crc ^= 0xA001;
            }
        }
    }
    crc
}

/// As P1 writes it: text in hexadecimal.
fn identifier(registers: &Registers) -> String {
    format!("E{:016}", number(registers))
        .bytes()
        .map(|byte| format!("{byte:02X}"))
        .collect()
}

fn number(registers: &Registers) -> u32 {
    let [.., a, b, c, d] = registers.serial;
    u32::from_be_bytes([a, b, c, d])
}

fn thousandths(number: i64, digits: usize) -> String {
    format!("{:0digits$}.{:03}", number / 1000, number % 1000)
}

fn tenths(number: i64) -> String {
    format!("{}.{}", number / 10, number % 10)
}

/// Taken and given away.
fn kilowatts(registers: &Registers) -> (String, String) {
    let power = registers.power_w;
    (
        thousandths(power.max(0), 2),
        thousandths((-power).max(0), 2),
    )
}
