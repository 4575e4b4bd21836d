//! A wire between the program and a bucket, on which a put of an object can be held.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Child;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// When the program is killed that has sent a put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// The bucket never gets it.
    Before,
    /// The bucket has it, and its answer is lost.
    After,
    /// The bucket gets it when everything is over.
    Late,
}

#[derive(Default)]
struct Puts {
    seen: u64,
    /// Which one is to be held.
    hold: Option<(u64, Moment)>,
    held: bool,
    /// It is not held any longer.
    over: bool,
    /// The bucket has answered, or will not be asked.
    settled: bool,
}

/// The wire.
pub struct Wire {
    /// What the program is to take for the bucket's endpoint.
    pub url: String,
    shared: Arc<(Mutex<Puts>, Condvar)>,
}

fn puts(shared: &(Mutex<Puts>, Condvar)) -> MutexGuard<'_, Puts> {
    shared.0.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Wire {
    /// To an endpoint without TLS.
    pub fn to(endpoint: &str) -> Self {
        let bucket = endpoint.trim_start_matches("http://").trim_end_matches('/').to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let shared = Arc::new((Mutex::new(Puts::default()), Condvar::new()));
        let all = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (bucket, shared) = (bucket.clone(), Arc::clone(&all));
                // A program that was killed hears nothing any more; that is no error.
                std::thread::spawn(move || carry(stream, &bucket, &shared));
            }
        });
        Wire { url, shared }
    }

    /// From now on puts are counted from 1, and this one is held.
    pub fn hold(&self, nth: u64, moment: Moment) {
        *puts(&self.shared) = Puts { hold: Some((nth, moment)), ..Puts::default() };
    }

    /// Waits until it is held; whether it is before `child` has ended.
    pub fn holds(&self, child: &mut Child) -> bool {
        let mut puts = puts(&self.shared);
        loop {
            if puts.held {
                return true;
            }
            if child.try_wait().expect("waited").is_some() {
                return false;
            }
            let waited = self.shared.1.wait_timeout(puts, Duration::from_millis(20));
            puts = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// What is held goes where its moment says.
    pub fn let_go(&self) {
        let mut puts = puts(&self.shared);
        puts.over = true;
        self.shared.1.notify_all();
        while puts.held && !puts.settled {
            puts = self.shared.1.wait(puts).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// One request and its answer. Each has a connection of its own: where an answer ends is where the bucket closes it.
fn carry(mut program: TcpStream, bucket: &str, shared: &(Mutex<Puts>, Condvar)) -> io::Result<()> {
    let mut reader = BufReader::new(program.try_clone()?);
    let (head, length) = head(&mut reader)?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let forward = || -> io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect(bucket)?;
        stream.write_all(head.as_bytes())?;
        stream.write_all(&body)?;
        let mut reader = BufReader::new(stream);
        let (head, _) = self::head(&mut reader)?;
        let mut answer = head.into_bytes();
        reader.read_to_end(&mut answer)?;
        Ok(answer)
    };
    let held = {
        let mut puts = puts(shared);
        puts.seen += u64::from(head.starts_with("PUT "));
        puts.hold.filter(|(nth, _)| head.starts_with("PUT ") && *nth == puts.seen)
    };
    let Some((_, moment)) = held else { return program.write_all(&forward()?) };
    let sent = if moment == Moment::After { forward().map(drop) } else { Ok(()) };
    let mut puts = puts(shared);
    puts.held = true;
    shared.1.notify_all();
    while !puts.over {
        puts = shared.1.wait(puts).unwrap_or_else(PoisonError::into_inner);
    }
    let late = if moment == Moment::Late { forward().map(drop) } else { Ok(()) };
    puts.settled = true;
    shared.1.notify_all();
    sent.and(late)
}

/// The head of a message, which is told to be the last of its connection, and the length of what comes behind it.
fn head(reader: &mut impl io::BufRead) -> io::Result<(String, usize)> {
    let (mut head, mut length) = (String::new(), 0);
    for line in reader.by_ref().lines() {
        let line = line?;
        if line.is_empty() {
            head.push_str("connection: close\r\n\r\n");
            return Ok((head, length));
        }
        match line.split_once(':') {
            Some((name, _)) if name.eq_ignore_ascii_case("connection") => continue,
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.trim().parse().map_err(io::Error::other)?;
            }
            _ => {}
        }
        head.push_str(&line);
        head.push_str("\r\n");
    }
    Err(io::ErrorKind::UnexpectedEof.into())
}
