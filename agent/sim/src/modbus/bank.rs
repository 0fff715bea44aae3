//! The registers of the slaves.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Registers and coils of one unit; what is not there is refused with exception 2.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Bank {
    pub coils: BTreeMap<u16, bool>,
    pub discrete: BTreeMap<u16, bool>,
    pub holding: BTreeMap<u16, u16>,
    pub input: BTreeMap<u16, u16>,
    /// Functions that the unit does not have, refused with exception 1.
    pub lacks: Vec<u8>,
}

/// The units of one line. Clones share them: a simulation goes on changing what the line serves.
#[derive(Clone, Debug, Default)]
pub struct Units(Arc<Mutex<BTreeMap<u8, Bank>>>);

const ILLEGAL_FUNCTION: u8 = 1;
const ILLEGAL_ADDRESS: u8 = 2;
const ILLEGAL_VALUE: u8 = 3;

impl Units {
    /// Adds a unit, or puts another in its place.
    pub fn insert(&self, unit: u8, bank: Bank) {
        self.lock().insert(unit, bank);
    }

    /// Looks at or changes the registers of a unit, which is added where it is not there.
    pub fn with<R>(&self, unit: u8, change: impl FnOnce(&mut Bank) -> R) -> R {
        change(self.lock().entry(unit).or_default())
    }

    pub(super) fn answers_for(&self, unit: u8) -> bool {
        unit == 0 || self.lock().contains_key(&unit)
    }

    /// Does what a request says and gives the answer; unit 0 is all of them.
    pub(super) fn obey(&self, unit: u8, pdu: &[u8]) -> Vec<u8> {
        let mut units = self.lock();
        let mut answer = Err(ILLEGAL_ADDRESS);
        for (_, bank) in units
            .iter_mut()
            .filter(|(number, _)| unit == 0 || **number == unit)
        {
            answer = bank.obey(pdu);
        }
        let function = pdu.first().copied().unwrap_or_default();
        answer.unwrap_or_else(|code| vec![function | 0x80, code])
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u8, Bank>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Bank {
    /// The answer to a request, or the code of the exception.
    fn obey(&mut self, pdu: &[u8]) -> Result<Vec<u8>, u8> {
        if pdu
            .first()
            .is_some_and(|function| self.lacks.contains(function))
        {
            return Err(ILLEGAL_FUNCTION);
        }
        match *pdu {
            [function @ 1..=2, a1, a0, c1, c0] => {
                let table = if function == 1 {
                    &self.coils
                } else {
                    &self.discrete
                };
                let bits = run(
                    table,
                    u16::from_be_bytes([a1, a0]),
                    u16::from_be_bytes([c1, c0]),
                    2000,
                )?;
                let data = bits.chunks(8).map(|byte| {
                    byte.iter()
                        .rev()
                        .fold(0, |byte, bit| byte << 1 | u8::from(*bit))
                });
                Ok(counted(function, data.collect()))
            }
            [function @ 3..=4, a1, a0, c1, c0] => {
                let table = if function == 3 {
                    &self.holding
                } else {
                    &self.input
                };
                let words = run(
                    table,
                    u16::from_be_bytes([a1, a0]),
                    u16::from_be_bytes([c1, c0]),
                    125,
                )?;
                Ok(counted(
                    function,
                    words.iter().flat_map(|word| word.to_be_bytes()).collect(),
                ))
            }
            [5, a1, a0, value @ (0 | 0xFF), 0] => {
                set(&mut self.coils, u16::from_be_bytes([a1, a0]), &[value != 0])?;
                Ok(pdu.to_vec())
            }
            [22, a1, a0, k1, k0, s1, s0] => {
                let at = u16::from_be_bytes([a1, a0]);
                let (keep, set) = (u16::from_be_bytes([k1, k0]), u16::from_be_bytes([s1, s0]));
                let register = self.holding.get_mut(&at).ok_or(ILLEGAL_ADDRESS)?;
                // Application protocol 1.1b3, 6.16.
                *register = (*register & keep) | (set & !keep);
                Ok(pdu.to_vec())
            }
            [23, r1, r0, c1, c0, ref write @ ..] => {
                self.write_multiple(&[&[16], write].concat())?;
                let (at, count) = (u16::from_be_bytes([r1, r0]), u16::from_be_bytes([c1, c0]));
                let words = run(&self.holding, at, count, 125)?;
                Ok(counted(
                    23,
                    words.iter().flat_map(|word| word.to_be_bytes()).collect(),
                ))
            }
            [5, ..] => Err(ILLEGAL_VALUE),
            [6, a1, a0, v1, v0] => {
                set(
                    &mut self.holding,
                    u16::from_be_bytes([a1, a0]),
                    &[u16::from_be_bytes([v1, v0])],
                )?;
                Ok(pdu.to_vec())
            }
            _ => self.write_multiple(pdu),
        }
    }

    fn write_multiple(&mut self, pdu: &[u8]) -> Result<Vec<u8>, u8> {
        match *pdu {
            [15, a1, a0, c1, c0, bytes, ref data @ ..] => {
                let count = usize::from(u16::from_be_bytes([c1, c0]));
                if !(1..=1968).contains(&count)
                    || data.len() != count.div_ceil(8)
                    || data.len() != usize::from(bytes)
                {
                    return Err(ILLEGAL_VALUE);
                }
                let bits: Vec<bool> = (0..count)
                    .map(|index| data[index / 8] >> (index % 8) & 1 == 1)
                    .collect();
                set(&mut self.coils, u16::from_be_bytes([a1, a0]), &bits)?;
                Ok(pdu[..5].to_vec())
            }
            [16, a1, a0, c1, c0, bytes, ref data @ ..] => {
                let count = usize::from(u16::from_be_bytes([c1, c0]));
                if !(1..=123).contains(&count)
                    || data.len() != 2 * count
                    || data.len() != usize::from(bytes)
                {
                    return Err(ILLEGAL_VALUE);
                }
                let words: Vec<u16> = data
                    .chunks_exact(2)
                    .map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
                    .collect();
                set(&mut self.holding, u16::from_be_bytes([a1, a0]), &words)?;
                Ok(pdu[..5].to_vec())
            }
            _ => Err(ILLEGAL_FUNCTION),
        }
    }
}

fn counted(function: u8, data: Vec<u8>) -> Vec<u8> {
    let count = u8::try_from(data.len()).unwrap_or(u8::MAX);
    [vec![function, count], data].concat()
}

fn run<T: Copy>(table: &BTreeMap<u16, T>, at: u16, count: u16, max: u16) -> Result<Vec<T>, u8> {
    if !(1..=max).contains(&count) {
        return Err(ILLEGAL_VALUE);
    }
    let addresses = (0..count).map(|offset| at.checked_add(offset));
    let items: Option<Vec<T>> = addresses
        .map(|address| table.get(&address?).copied())
        .collect();
    items.ok_or(ILLEGAL_ADDRESS)
}

/// Sets all or nothing.
fn set<T: Copy>(table: &mut BTreeMap<u16, T>, at: u16, values: &[T]) -> Result<(), u8> {
    let addresses: Option<Vec<u16>> = (0..values.len())
        .map(|offset| {
            at.checked_add(u16::try_from(offset).ok()?)
                .filter(|address| table.contains_key(address))
        })
        .collect();
    let addresses = addresses.ok_or(ILLEGAL_ADDRESS)?;
    table.extend(addresses.into_iter().zip(values.iter().copied()));
    Ok(())
}
