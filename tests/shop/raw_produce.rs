//! Messages that no client of ours would write, put together byte by byte.
//!
//! Kafka's protocol: a Produce request, version 3, with one record batch of one record whose only
//! header has a name that is not UTF-8. Kafka itself does not look.

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// Writes a message without key and value that has one header, under any name.
pub async fn with_header(broker: &str, topic: &str, partition: i32, name: &[u8]) {
    let mut broker = TcpStream::connect(broker).await.expect("Kafka is up");
    let request = request(topic, partition, &batch(&record(name)));
    broker.write_i32(length(&request)).await.expect("it reads");
    broker.write_all(&request).await.expect("it reads");
    let mut answer =
        vec![0; usize::try_from(broker.read_i32().await.expect("it answers")).expect("a length")];
    broker.read_exact(&mut answer).await.expect("it answers");
    // Correlation id, one topic with its name, one partition with its number; then the error.
    let error = 4 + 4 + 2 + topic.len() + 4 + 4;
    assert_eq!(answer[error..error + 2], [0, 0], "Kafka refuses it");
}

fn request(topic: &str, partition: i32, batch: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    // Produce, version 3, correlation id 1, no client id.
    bytes.extend([0, 0, 0, 3, 0, 0, 0, 1, 0xff, 0xff]);
    // No transaction, acks of all, 10 s.
    bytes.extend([0xff, 0xff, 0xff, 0xff]);
    bytes.extend(10_000_i32.to_be_bytes());
    bytes.extend(1_i32.to_be_bytes());
    bytes.extend(i16::try_from(topic.len()).expect("short").to_be_bytes());
    bytes.extend(topic.as_bytes());
    bytes.extend(1_i32.to_be_bytes());
    bytes.extend(partition.to_be_bytes());
    bytes.extend(length(batch).to_be_bytes());
    bytes.extend(batch);
    bytes
}

/// A record batch, version 2.
fn batch(record: &[u8]) -> Vec<u8> {
    let mut sealed = Vec::new();
    // No attributes, last offset 0, from time 0 to time 0, no producer.
    sealed.extend(0_i16.to_be_bytes());
    sealed.extend(0_i32.to_be_bytes());
    sealed.extend(0_i64.to_be_bytes());
    sealed.extend(0_i64.to_be_bytes());
    sealed.extend((-1_i64).to_be_bytes());
    sealed.extend((-1_i16).to_be_bytes());
    sealed.extend((-1_i32).to_be_bytes());
    sealed.extend(1_i32.to_be_bytes());
    sealed.extend(record);
    let mut bytes = 0_i64.to_be_bytes().to_vec();
    // What follows the length: epoch, magic, checksum, and what that covers.
    bytes.extend((length(&sealed) + 4 + 1 + 4).to_be_bytes());
    bytes.extend((-1_i32).to_be_bytes());
    bytes.push(2);
    bytes.extend(crc32c(&sealed).to_be_bytes());
    bytes.extend(sealed);
    bytes
}

/// Attributes, time and offset 0; neither key nor value; one header with an empty value.
fn record(header: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 0, varint(-1), varint(-1), varint(1)];
    bytes.push(varint(i8::try_from(header.len()).expect("short")));
    bytes.extend(header);
    bytes.push(varint(0));
    let mut record = vec![varint(i8::try_from(bytes.len()).expect("short"))];
    record.extend(bytes);
    record
}

/// A zigzag varint of one byte.
fn varint(value: i8) -> u8 {
    assert!((-64..64).contains(&value));
    ((value << 1) ^ (value >> 7)).cast_unsigned()
}

fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc: u32, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0x82f6_3b78 * (crc & 1))
        })
    })
}

fn length(bytes: &[u8]) -> i32 {
    i32::try_from(bytes.len()).expect("a test writes little")
}
