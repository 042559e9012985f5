//! What an instance answers: work, health, an echo, and the switch for its faults.

use std::io::Write;

use mainstay_http1::{BodyKind, BodyLength, Known, RequestFacts};

use super::Instance;
use super::connection::{BLOCK, Connection, Ended, Piece};
use super::fault::{Fault, Kind};

/// Bytes of a description of a fault; all of them are shorter.
const CONTROL_MAX: usize = 4096;
/// What a long answer is made of, and a false one.
static FILL: [u8; BLOCK] = [b'x'; BLOCK];
static FALSE_FILL: [u8; BLOCK] = [b'?'; BLOCK];
/// A false answer where a short one is wanted: it has no word of the right one.
const FALSE: &[u8] = b"something else\n";

/// What is asked for, by its path.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    Work,
    Echo,
    Health,
    Fault,
}

/// Serves one connection until it ends.
pub(crate) async fn serve(mut connection: Connection, instance: &Instance) -> Result<(), Ended> {
    let mut text = Vec::new();
    let on = instance.connection_number();
    while let Some(facts) = connection.next().await? {
        let asked = asked(connection.request().path());
        let (number, fault) = match asked {
            Asked::Fault => (0, None),
            Asked::Health => (0, instance.fault.hits(instance.check_number(), on)),
            Asked::Work | Asked::Echo => {
                let number = instance.number();
                note(&connection, instance, &mut text);
                (number, instance.fault.hits(number, on))
            }
        };
        match fault {
            Some(Kind::Reset) => return connection.reset(),
            Some(Kind::Stall) => return connection.stall().await,
            Some(Kind::Garbage) => return connection.garbage(b"lorem ipsum dolor sit amet\r\n\r\n").await,
            // Before it takes a slot.
            Some(Kind::Limp(delay)) => tokio::time::sleep(delay).await,
            _ => {}
        }
        let goes_on = match asked {
            Asked::Fault => control(&mut connection, instance).await?,
            Asked::Health => health(&mut connection, instance, fault).await?,
            Asked::Echo => echo(&mut connection, instance, facts, number, fault).await?,
            Asked::Work => work(&mut connection, instance, number, fault, &mut text).await?,
        };
        if !goes_on {
            break;
        }
    }
    Ok(())
}

fn asked(path: &[u8]) -> Asked {
    match path {
        b"/health" => Asked::Health,
        b"/echo" => Asked::Echo,
        b"/_fault" => Asked::Fault,
        _ => Asked::Work,
    }
}

/// Writes down that the request came. Health and faults are not work and are not written.
fn note(connection: &Connection, instance: &Instance, line: &mut Vec<u8>) {
    if instance.log.is_none() {
        return;
    }
    let request = connection.request();
    line.clear();
    let id = request.get_named("x-request-id").unwrap_or(b"-");
    for (part, end) in [(id, b' '), (request.method(), b' '), (request.path_and_query(), b'\n')] {
        line.extend_from_slice(part);
        line.push(end);
    }
    instance.log(line);
}

async fn health(connection: &mut Connection, instance: &Instance, fault: Option<Kind>) -> Result<bool, Ended> {
    skip_body(connection).await?;
    match fault {
        Some(Kind::Errors(status)) => say(connection, instance, status, b"failing\n").await,
        Some(Kind::Sick) => say(connection, instance, 503, b"sick\n").await,
        Some(Kind::Wrong) => say(connection, instance, 200, FALSE).await,
        _ => say(connection, instance, 200, b"well\n").await,
    }
}

/// Switches faults: PUT sets one, DELETE takes it away, and every answer tells what there is now.
async fn control(connection: &mut Connection, instance: &Instance) -> Result<bool, Ended> {
    let method = connection.request().method().to_vec();
    let Some(body) = short_body(connection).await? else {
        return say(connection, instance, 413, b"a fault is described in less than that\n").await;
    };
    match method.as_slice() {
        b"GET" => {}
        b"DELETE" => instance.fault.set(None),
        b"PUT" => match Fault::parse(&body) {
            Ok(fault) => instance.fault.set(fault),
            Err(why) => return say(connection, instance, 400, format!("{why}\n").as_bytes()).await,
        },
        _ => return say(connection, instance, 405, b"GET, PUT or DELETE\n").await,
    }
    let now = format!("{}\n", instance.fault.to_json());
    answer(connection, instance, 200, b"application/json", now.as_bytes()).await
}

/// The whole body, if it is short; read to its end in any case.
async fn short_body(connection: &mut Connection) -> Result<Option<Vec<u8>>, Ended> {
    let mut body = Vec::new();
    while let Piece::Data(range) = connection.piece().await? {
        if body.len() <= CONTROL_MAX {
            body.extend_from_slice(connection.bytes(range));
        }
    }
    Ok((body.len() <= CONTROL_MAX).then_some(body))
}

async fn skip_body(connection: &mut Connection) -> Result<(), Ended> {
    while let Piece::Data(_) = connection.piece().await? {}
    Ok(())
}

async fn work(
    connection: &mut Connection,
    instance: &Instance,
    number: u64,
    fault: Option<Kind>,
    text: &mut Vec<u8>,
) -> Result<bool, Ended> {
    describe(connection, instance, number, fault, text);
    skip_body(connection).await?;
    if let Some(status) = failing(fault) {
        return say(connection, instance, status, b"failing\n").await;
    }
    let Some(slot) = instance.slots.take().await else {
        return say(connection, instance, 503, b"too many wait already\n").await;
    };
    pass_time(instance, number, fault).await;
    drop(slot);
    match instance.size {
        Some(size) => fill(connection, instance, size, fault).await,
        None => answer(connection, instance, 200, b"application/json", text).await,
    }
}

fn failing(fault: Option<Kind>) -> Option<u16> {
    match fault? {
        Kind::Errors(status) | Kind::Gray(status) => Some(status),
        _ => None,
    }
}

/// Works. An instance without a service time asks for no timer.
async fn pass_time(instance: &Instance, number: u64, fault: Option<Kind>) {
    let time = instance.work.time(number);
    let time = match fault {
        Some(Kind::Slow(delay)) => time + delay,
        Some(Kind::Slower(times)) => time.mul_f64(times),
        _ => time,
    };
    if !time.is_zero() {
        instance.clock.sleep(time).await;
    }
}

/// Who answers what, as JSON; a false account of it when that is the fault.
fn describe(connection: &Connection, instance: &Instance, number: u64, fault: Option<Kind>, text: &mut Vec<u8>) {
    text.clear();
    if instance.size.is_some() {
        return;
    }
    let request = connection.request();
    let path = if fault == Some(Kind::Wrong) { b"/something/else" } else { request.path_and_query() };
    let fields = [
        ("{\"instance\":", instance.name.as_bytes()),
        (",\"method\":", request.method()),
        (",\"path\":", path),
        (",\"id\":", request.get_named("x-request-id").unwrap_or(b"")),
    ];
    for (name, value) in fields {
        text.extend_from_slice(name.as_bytes());
        // Writing to a Vec cannot fail, and neither can a string be no JSON.
        let _ = serde_json::to_writer(&mut *text, &String::from_utf8_lossy(value));
    }
    let _ = writeln!(text, ",\"count\":{number}}}");
}

/// Sends the request's body back as it comes.
async fn echo(
    connection: &mut Connection,
    instance: &Instance,
    facts: RequestFacts,
    number: u64,
    fault: Option<Kind>,
) -> Result<bool, Ended> {
    if let Some(status) = failing(fault) {
        skip_body(connection).await?;
        return say(connection, instance, status, b"failing\n").await;
    }
    let Some(_slot) = instance.slots.take().await else {
        skip_body(connection).await?;
        return say(connection, instance, 503, b"too many wait already\n").await;
    };
    pass_time(instance, number, fault).await;
    let length = match facts.body {
        BodyKind::None => BodyLength::Empty,
        BodyKind::Length(length) => BodyLength::Exactly(length),
        BodyKind::Chunked | BodyKind::UntilClose => BodyLength::Unknown,
    };
    if fault == Some(Kind::Wrong) {
        skip_body(connection).await?;
        return say(connection, instance, 200, FALSE).await;
    }
    let kind = connection.request().get(Known::ContentType).unwrap_or(b"application/octet-stream").to_vec();
    connection.welcome().await?;
    connection.begin(200, length, &kind, &instance.name)?;
    while let Piece::Data(range) = connection.piece().await? {
        connection.echo(range).await?;
    }
    connection.end().await
}

async fn say(connection: &mut Connection, instance: &Instance, status: u16, text: &[u8]) -> Result<bool, Ended> {
    answer(connection, instance, status, b"text/plain", text).await
}

async fn answer(
    connection: &mut Connection,
    instance: &Instance,
    status: u16,
    kind: &[u8],
    body: &[u8],
) -> Result<bool, Ended> {
    connection.begin(status, BodyLength::Exactly(body.len() as u64), kind, &instance.name)?;
    connection.data(body).await?;
    connection.end().await
}

/// A body of `size` bytes, never held as a whole.
async fn fill(
    connection: &mut Connection,
    instance: &Instance,
    size: usize,
    fault: Option<Kind>,
) -> Result<bool, Ended> {
    let block = if fault == Some(Kind::Wrong) { &FALSE_FILL } else { &FILL };
    connection.begin(200, BodyLength::Exactly(size as u64), b"text/plain", &instance.name)?;
    let mut left = size;
    while left > 0 {
        let part = left.min(BLOCK);
        connection.data(&block[..part]).await?;
        left -= part;
    }
    connection.end().await
}
