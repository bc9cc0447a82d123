//! The properties of MQTT 5, written down a second time for the tests.

/// Takes bytes from the front of a packet; everything that is missing is a fault of the broker.
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(crate) fn take(&mut self, length: usize) -> &'a [u8] {
        let Some((taken, rest)) = self.bytes.split_at_checked(length) else {
            panic!("the packet ends {} bytes early", length - self.bytes.len());
        };
        self.bytes = rest;
        taken
    }

    pub(crate) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.bytes)
    }

    pub(crate) fn u8(&mut self) -> u8 {
        self.take(1)[0]
    }

    pub(crate) fn u16(&mut self) -> u16 {
        u16::from_be_bytes(self.take(2).try_into().expect("two bytes"))
    }

    fn u32(&mut self) -> u32 {
        u32::from_be_bytes(self.take(4).try_into().expect("four bytes"))
    }

    pub(crate) fn var(&mut self) -> u32 {
        let mut value = 0;
        for shift in [0, 7, 14, 21] {
            let byte = self.u8();
            value |= u32::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                assert!(byte != 0 || shift == 0, "[MQTT-1.5.5-1] more bytes than needed");
                return value;
            }
        }
        panic!("a variable byte integer of more than four bytes");
    }

    pub(crate) fn binary(&mut self) -> Vec<u8> {
        let length = usize::from(self.u16());
        self.take(length).to_vec()
    }

    pub(crate) fn string(&mut self) -> String {
        String::from_utf8(self.binary()).expect("[MQTT-1.5.4-1] a string is UTF-8")
    }

    fn pair(&mut self) -> (String, String) {
        (self.string(), self.string())
    }
}

/// Appends a variable byte integer.
pub(crate) fn put_var(value: usize, out: &mut Vec<u8>) {
    let mut value = u32::try_from(value).expect("a length of a test packet fits");
    loop {
        let byte = (value & 0x7F) as u8;
        value >>= 7;
        if value == 0 {
            return out.push(byte);
        }
        out.push(byte | 0x80);
    }
}

/// Appends a length in two bytes and the bytes.
pub(crate) fn put_binary(bytes: &[u8], out: &mut Vec<u8>) {
    let length = u16::try_from(bytes.len()).expect("a field of a test packet fits");
    out.extend(length.to_be_bytes());
    out.extend(bytes);
}

macro_rules! properties {
    ($( $id:literal $name:ident $kind:ident, $doc:literal; )*) => {
        /// One property as it stands in a packet.
        #[derive(Clone, PartialEq, Eq, Debug)]
        pub enum Property {
            $( #[doc = $doc] $name(properties!(@type $kind)), )*
        }

        impl Property {
            pub(crate) fn put(&self, out: &mut Vec<u8>) {
                match self {
                    $( Self::$name(value) => { out.push($id); properties!(@put $kind, value, out) } )*
                }
            }

            fn take(from: &mut Reader<'_>) -> Self {
                match from.u8() {
                    $( $id => Self::$name(from.$kind()), )*
                    id => panic!("there is no property 0x{id:02X}"),
                }
            }
        }
    };
    (@type u8) => { u8 };
    (@type u16) => { u16 };
    (@type u32) => { u32 };
    (@type var) => { u32 };
    (@type string) => { String };
    (@type binary) => { Vec<u8> };
    (@type pair) => { (String, String) };
    (@put u8, $value:ident, $out:ident) => { $out.push(*$value) };
    (@put u16, $value:ident, $out:ident) => { $out.extend($value.to_be_bytes()) };
    (@put u32, $value:ident, $out:ident) => { $out.extend($value.to_be_bytes()) };
    (@put var, $value:ident, $out:ident) => { put_var(*$value as usize, $out) };
    (@put string, $value:ident, $out:ident) => { put_binary($value.as_bytes(), $out) };
    (@put binary, $value:ident, $out:ident) => { put_binary($value, $out) };
    (@put pair, $value:ident, $out:ident) => {{
        put_binary($value.0.as_bytes(), $out);
        put_binary($value.1.as_bytes(), $out);
    }};
}

properties! {
    0x01 PayloadFormat u8, "1: the payload is UTF-8.";
    0x02 MessageExpiry u32, "Seconds.";
    0x03 ContentType string, "Forwarded.";
    0x08 ResponseTopic string, "Forwarded.";
    0x09 CorrelationData binary, "Forwarded.";
    0x0B SubscriptionId var, "1 to 268,435,455.";
    0x11 SessionExpiry u32, "Seconds; `u32::MAX`: never.";
    0x12 AssignedClientId string, "In CONNACK.";
    0x13 ServerKeepAlive u16, "Seconds.";
    0x15 AuthenticationMethod string, "Of enhanced authentication.";
    0x16 AuthenticationData binary, "Of enhanced authentication.";
    0x17 RequestProblemInformation u8, "0: no Reason Strings, please.";
    0x18 WillDelay u32, "Seconds.";
    0x19 RequestResponseInformation u8, "1: Response Information, please.";
    0x1A ResponseInformation string, "In CONNACK.";
    0x1C ServerReference string, "Another server.";
    0x1F ReasonString string, "For people.";
    0x21 ReceiveMaximum u16, "Messages under way.";
    0x22 TopicAliasMaximum u16, "The largest Topic Alias.";
    0x23 TopicAlias u16, "In PUBLISH.";
    0x24 MaximumQoS u8, "0 or 1.";
    0x25 RetainAvailable u8, "0: no retained messages.";
    0x26 UserProperty pair, "Name, value.";
    0x27 MaximumPacketSize u32, "Bytes.";
    0x28 WildcardSubscriptionAvailable u8, "0: no wildcards.";
    0x29 SubscriptionIdsAvailable u8, "0: no Subscription Identifiers.";
    0x2A SharedSubscriptionAvailable u8, "0: no shared subscriptions.";
}

impl Property {
    /// A User Property.
    pub fn user(name: &str, value: &str) -> Self {
        Self::UserProperty((name.to_owned(), value.to_owned()))
    }
}

/// Appends a property length and the properties.
pub(crate) fn put_properties(properties: &[Property], out: &mut Vec<u8>) {
    let mut bytes = Vec::new();
    properties.iter().for_each(|property| property.put(&mut bytes));
    put_var(bytes.len(), out);
    out.extend(bytes);
}

/// Takes a property length and the properties.
pub(crate) fn take_properties(from: &mut Reader<'_>) -> Vec<Property> {
    let length = from.var() as usize;
    let mut inner = Reader::new(from.take(length));
    let mut properties = Vec::new();
    while !inner.is_empty() {
        properties.push(Property::take(&mut inner));
    }
    properties
}
