//! Where nodes stand: cities by coordinates, and the delay that the distance between two of them costs.
//!
//! Light in glass goes at two thirds of its speed, and cables are longer than the great circle; both together give one-way
//! delays within some ten per cent of those between real data centres.

use super::clock::Micros;

/// A city.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct City {
    /// Its name.
    pub name: &'static str,
    /// Degrees north of the equator.
    pub latitude: f64,
    /// Degrees east of Greenwich.
    pub longitude: f64,
}

const fn city(name: &'static str, latitude: f64, longitude: f64) -> City {
    City { name, latitude, longitude }
}

/// Cities on all continents that have data centres.
pub const CITIES: [City; 32] = [
    city("Frankfurt", 50.11, 8.68),
    city("Amsterdam", 52.37, 4.90),
    city("London", 51.51, -0.13),
    city("Paris", 48.86, 2.35),
    city("Zurich", 47.38, 8.54),
    city("Milan", 45.46, 9.19),
    city("Madrid", 40.42, -3.70),
    city("Stockholm", 59.33, 18.07),
    city("Helsinki", 60.17, 24.94),
    city("Warsaw", 52.23, 21.01),
    city("Dublin", 53.35, -6.26),
    city("Reykjavik", 64.15, -21.94),
    city("New York", 40.71, -74.01),
    city("Ashburn", 39.04, -77.49),
    city("Chicago", 41.88, -87.63),
    city("Dallas", 32.78, -96.80),
    city("Los Angeles", 34.05, -118.24),
    city("Seattle", 47.61, -122.33),
    city("Montreal", 45.50, -73.57),
    city("Sao Paulo", -23.55, -46.63),
    city("Santiago", -33.45, -70.67),
    city("Tokyo", 35.68, 139.69),
    city("Seoul", 37.57, 126.98),
    city("Hong Kong", 22.32, 114.17),
    city("Singapore", 1.35, 103.82),
    city("Mumbai", 19.08, 72.88),
    city("Dubai", 25.20, 55.27),
    city("Tel Aviv", 32.09, 34.78),
    city("Johannesburg", -26.20, 28.05),
    city("Nairobi", -1.29, 36.82),
    city("Sydney", -33.87, 151.21),
    city("Auckland", -36.85, 174.76),
];

/// Kilometres that a signal covers in a millisecond: two thirds of the speed of light.
const KILOMETRES_PER_MILLI: f64 = 299.792_458 * 2.0 / 3.0;
/// How much longer than the great circle the way is.
const ROUTE_FACTOR: f64 = 1.6;
/// Routers and hosts at both ends, in microseconds.
const ENDS: f64 = 600.0;
const EARTH_RADIUS_KILOMETRES: f64 = 6_371.0;

/// The great-circle distance in kilometres.
pub fn distance_kilometres(a: &City, b: &City) -> f64 {
    let (lat_a, lat_b) = (a.latitude.to_radians(), b.latitude.to_radians());
    let (half_lat, half_lon) = ((lat_b - lat_a) / 2.0, (b.longitude - a.longitude).to_radians() / 2.0);
    let haversine = half_lat.sin().powi(2) + lat_a.cos() * lat_b.cos() * half_lon.sin().powi(2);
    2.0 * EARTH_RADIUS_KILOMETRES * haversine.sqrt().min(1.0).asin()
}

/// The one-way delay between two cities.
pub fn delay(a: &City, b: &City) -> Micros {
    let millis = distance_kilometres(a, b) * ROUTE_FACTOR / KILOMETRES_PER_MILLI;
    (millis * 1_000.0 + ENDS) as Micros
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> &'static City {
        CITIES.iter().find(|city| city.name == name).expect("the city is in the list")
    }

    #[test]
    fn known_distances_and_delays_come_out() {
        let (paris, tokyo) = (named("Paris"), named("Tokyo"));
        let kilometres = distance_kilometres(paris, tokyo);
        assert!((9_650.0..9_780.0).contains(&kilometres), "{kilometres}");
        // Measured round trips between Paris and Tokyo lie around 220 ms only over Asia; most go over America.
        assert!((70_000..95_000).contains(&delay(paris, tokyo)), "{}", delay(paris, tokyo));
        assert!(delay(paris, paris) < 1_000);
    }
}
