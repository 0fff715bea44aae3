//! The database: full blocks of the queues, and where each queue stands. People can look into it
//! with `sqlite3`.
//!
//! A block is appended once and deleted once, so a rollback journal writes it once; a write-ahead
//! log would write it twice. The file keeps the size that it once had and is filled again.

use std::{collections::BTreeMap, io};

use lamplighter_lwm2m::{boundary::ClientId, saved::SavedQueue};
use lamplighter_model::Ssid;
use rusqlite::{Connection, ErrorCode, OptionalExtension as _, Transaction, params};

use super::disk::Disk;

pub(super) const FILE: &str = "store.db";

/// Pages in memory. Blocks are read and written in one go, so nothing is gained by more.
const CACHE_KIB: i64 = 128;
/// How long it waits for somebody who is looking.
const BUSY_MS: u32 = 2000;
/// Bytes of zeros that are written at once.
const FILLER: i64 = 65_536;
/// `PRAGMA user_version` of the tables below.
const VERSION: i64 = 1;

const TABLES: &str = "
CREATE TABLE queue (
    seq INTEGER PRIMARY KEY,
    client INTEGER NOT NULL,
    server INTEGER NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    samples INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    block BLOB NOT NULL
);
CREATE INDEX queue_of ON queue (client, server, last);
CREATE TABLE cursor (
    client INTEGER NOT NULL,
    server INTEGER NOT NULL,
    first INTEGER NOT NULL,
    next INTEGER NOT NULL,
    dropped INTEGER NOT NULL,
    PRIMARY KEY (client, server)
) WITHOUT ROWID;
";

/// Whose queue it is.
pub(super) type Owner = (ClientId, Ssid);

/// The open database.
#[derive(Debug)]
pub(super) struct Base(Connection);

/// A block, without its bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Block {
    pub(super) seq: i64,
    pub(super) owner: Owner,
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) samples: u64,
    pub(super) bytes: u64,
}

/// What is changed together.
#[derive(Debug)]
pub(super) struct Changes<'a> {
    pub(super) added: Option<(Block, &'a [u8])>,
    /// Those without samples go.
    pub(super) rewritten: &'a [(Block, &'a [u8])],
    pub(super) removed: &'a [i64],
    /// Of a queue that there is not any more: the default.
    pub(super) cursors: &'a BTreeMap<Owner, SavedQueue>,
}

impl Base {
    /// Opens the database, which is made where there is none. One that is damaged is moved aside.
    pub(super) fn open(disk: &mut dyn Disk) -> io::Result<Self> {
        match Self::open_as_it_is(disk) {
            Err(error) if is_damaged(&error) => {
                let aside = format!("{FILE}.damaged");
                tracing::error!(%error, aside, "The database is damaged and moved aside");
                disk.rename(FILE, &aside)?;
                disk.remove(&format!("{FILE}-journal"))?;
                disk.sync_names()?;
                Self::open_as_it_is(disk).map_err(io::Error::other)
            }
            opened => opened.map_err(io::Error::other),
        }
    }

    fn open_as_it_is(disk: &mut dyn Disk) -> rusqlite::Result<Self> {
        let connection = disk.database(FILE)?;
        connection.busy_timeout(std::time::Duration::from_millis(BUSY_MS.into()))?;
        connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        // Zeroing its head commits; making and deleting it each time would change the directory.
        let mode = "journal_mode";
        connection.pragma_update_and_check(None, mode, "PERSIST", |_| Ok(()))?;
        connection.pragma_update_and_check(None, "journal_size_limit", 65536, |_| Ok(()))?;
        connection.pragma_update(None, "temp_store", "MEMORY")?;
        // What is deleted is zeroed where its page is written anyway; see `erase` for the others.
        connection.pragma_update_and_check(None, "secure_delete", "FAST", |_| Ok(()))?;
        let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        match version {
            VERSION => {}
            0 => {
                let tables = format!("BEGIN;{TABLES}PRAGMA user_version = {VERSION};COMMIT;");
                connection.execute_batch(&tables)?;
                disk.sync_names().map_err(foreign)?;
            }
            other => tracing::error!(version = other, "The database is of a later version"),
        }
        Ok(Self(connection))
    }

    /// All blocks, the oldest first.
    pub(super) fn blocks(&self) -> io::Result<Vec<Block>> {
        let sql = "SELECT seq, client, server, first, last, samples, bytes FROM queue ORDER BY seq";
        let mut statement = self.0.prepare(sql).map_err(io::Error::other)?;
        let rows = statement.query_map([], block).map_err(io::Error::other)?;
        rows.collect::<Result<_, _>>().map_err(io::Error::other)
    }

    pub(super) fn cursors(&self) -> io::Result<Vec<(Owner, SavedQueue)>> {
        let sql = "SELECT client, server, first, next, dropped FROM cursor";
        let mut statement = self.0.prepare(sql).map_err(io::Error::other)?;
        let rows = statement.query_map([], |row| {
            let owner = (ClientId(row.get(0)?), Ssid(row.get(1)?));
            let queue = SavedQueue {
                first: number(row, 2)?,
                next: number(row, 3)?,
                dropped: number(row, 4)?,
            };
            Ok((owner, queue))
        });
        let rows = rows.map_err(io::Error::other)?;
        rows.collect::<Result<_, _>>().map_err(io::Error::other)
    }

    /// The bytes of a block.
    pub(super) fn block(&self, seq: i64) -> io::Result<Vec<u8>> {
        let sql = "SELECT block FROM queue WHERE seq = ?1";
        let found = self.0.query_row(sql, [seq], |row| row.get(0)).optional();
        let found = found.map_err(io::Error::other)?;
        found.ok_or_else(|| io::Error::other("a block is missing"))
    }

    /// All of it or nothing; durable when it returns.
    pub(super) fn change(&mut self, disk: &mut dyn Disk, changes: &Changes<'_>) -> io::Result<()> {
        let transaction = self.0.transaction().map_err(io::Error::other)?;
        apply(&transaction, changes).map_err(io::Error::other)?;
        disk.before_commit()?;
        transaction.commit().map_err(io::Error::other)
    }

    /// As [`Self::change`], and nothing that is not in the tables any more can be found in the files.
    pub(super) fn erase(&mut self, disk: &mut dyn Disk, changes: &Changes<'_>) -> io::Result<()> {
        // A page that is freed is written, too, so that the zeros reach the disk.
        self.set("secure_delete", "ON")?;
        let changed = self.change(disk, changes).and_then(|()| self.fill(disk));
        self.set("secure_delete", "FAST")?;
        // Where only its head is zeroed the journal holds what was written over.
        self.set("journal_mode", "DELETE")?;
        self.set("journal_mode", "PERSIST")?;
        changed
    }

    fn set(&self, pragma: &str, value: &str) -> io::Result<()> {
        let set = self
            .0
            .pragma_update_and_check(None, pragma, value, |_| Ok(()));
        set.map_err(io::Error::other)
    }

    /// Pages that blocks have left long ago still hold their bytes: they are filled with zeros.
    fn fill(&mut self, disk: &mut dyn Disk) -> io::Result<()> {
        let free = |pragma| self.0.pragma_query_value(None, pragma, |row| row.get(0));
        let free = |pragma| -> io::Result<i64> { free(pragma).map_err(io::Error::other) };
        let rows = free("freelist_count")? * free("page_size")? / FILLER + 1;
        let transaction = self.0.transaction().map_err(io::Error::other)?;
        let filled = transaction
            .execute_batch("CREATE TABLE filler (zeros BLOB)")
            .and_then(|()| fill(&transaction, rows))
            .and_then(|()| transaction.execute_batch("DROP TABLE filler"));
        filled.map_err(io::Error::other)?;
        disk.before_commit()?;
        transaction.commit().map_err(io::Error::other)
    }
}

fn fill(transaction: &Transaction<'_>, rows: i64) -> rusqlite::Result<()> {
    for _ in 0..rows {
        transaction.execute("INSERT INTO filler VALUES (zeroblob(?1))", [FILLER])?;
    }
    Ok(())
}

fn apply(transaction: &Transaction<'_>, changes: &Changes<'_>) -> rusqlite::Result<()> {
    for seq in changes.removed {
        transaction.execute("DELETE FROM queue WHERE seq = ?1", [seq])?;
    }
    for (block, bytes) in changes.rewritten {
        rewrite(transaction, block, bytes)?;
    }
    if let Some((block, bytes)) = changes.added {
        let (client, server) = block.owner;
        transaction.execute(
            "INSERT INTO queue (seq, client, server, first, last, samples, bytes, block)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            params![
                block.seq,
                client.0,
                server.0,
                block.first.cast_signed(),
                block.last.cast_signed(),
                block.samples.cast_signed(),
                block.bytes.cast_signed(),
                bytes
            ],
        )?;
    }
    for ((client, server), queue) in changes.cursors {
        if *queue == SavedQueue::default() {
            transaction.execute(
                "DELETE FROM cursor WHERE client = ?1 AND server = ?2",
                [client.0, server.0],
            )?;
            continue;
        }
        transaction.execute(
            "INSERT OR REPLACE INTO cursor (client, server, first, next, dropped)
             VALUES (?1, ?2, ?3, ?4, ?5)",
            params![
                client.0,
                server.0,
                queue.first.cast_signed(),
                queue.next.cast_signed(),
                queue.dropped.cast_signed()
            ],
        )?;
    }
    Ok(())
}

fn rewrite(transaction: &Transaction<'_>, block: &Block, bytes: &[u8]) -> rusqlite::Result<()> {
    if block.samples == 0 {
        transaction.execute("DELETE FROM queue WHERE seq = ?1", [block.seq])?;
        return Ok(());
    }
    transaction.execute(
        "UPDATE queue SET first = ?2, last = ?3, samples = ?4, bytes = ?5, block = ?6 WHERE seq = ?1",
        params![
            block.seq,
            block.first.cast_signed(),
            block.last.cast_signed(),
            block.samples.cast_signed(),
            block.bytes.cast_signed(),
            bytes
        ],
    )?;
    Ok(())
}

fn block(row: &rusqlite::Row<'_>) -> rusqlite::Result<Block> {
    Ok(Block {
        seq: row.get(0)?,
        owner: (ClientId(row.get(1)?), Ssid(row.get(2)?)),
        first: number(row, 3)?,
        last: number(row, 4)?,
        samples: number(row, 5)?,
        bytes: number(row, 6)?,
    })
}

fn number(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(column).map(i64::cast_unsigned)
}

fn is_damaged(error: &rusqlite::Error) -> bool {
    let code = error.sqlite_error_code();
    matches!(
        code,
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
    )
}

fn foreign(error: io::Error) -> rusqlite::Error {
    rusqlite::Error::ToSqlConversionFailure(Box::new(error))
}
