//! The cores of multicast: what a packet may do to the table, and when beacons are sent.
