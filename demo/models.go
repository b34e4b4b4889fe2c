package demo

import (
	"math"
	"strconv"
	"time"

	"github.com/meterd/meterd/event"
)

// model is the devices of one product.
type model struct {
	product, zone, prefix string
	gateway               int // index in gateways
	count                 int
	early                 int // so many connect on the first day, the others one after another during the week
	// act is what a device does at nowMs; it returns when it does something next.
	act func(f *fleet, d *device, nowMs int64) (nextMs int64)
	// next is when a device that is there long since does something next.
	next func(d *device, nowMs int64) int64
}

// gateways are the producers' names.
var gateways = [...]string{"gw-shanghai-1", "gw-frankfurt-1", "gw-oregon-1"}

const (
	smartMeter    = "smart-meter"
	sharedBike    = "shared-bike"
	rentalTracker = "rental-tracker"
	greenhouse    = "greenhouse"

	shanghai   = "Asia/Shanghai"
	berlin     = "Europe/Berlin"
	losAngeles = "America/Los_Angeles"
)

// models is the fleet. Somewhere it is day.
var models = [...]model{
	{smartMeter, shanghai, "SM-", 0, 96, 72, meter, soonMeter},
	{smartMeter, shanghai, "SM-9", 0, 1, 1, stranger, soonMeter},
	{sharedBike, losAngeles, "BK-", 2, 140, 110, bike, nextRide},
	{rentalTracker, berlin, "RT-", 1, 64, 44, tracker, nextTour},
	{greenhouse, shanghai, "GH-", 0, 12, 12, sensor, soonMeter},
}

const (
	meterEvery   = 90 * time.Second
	faultyEvery  = 25 * time.Second
	bikeEvery    = 20 * time.Second
	trackerEvery = time.Minute
	sensorEvery  = 5 * time.Minute
	// greetFor is how long a device waits for the answer to its connect, in milliseconds.
	greetFor = 21_000
)

// How much bikes are used by hour of the day, and how much power homes take.
var (
	ridesByHour = [24]float64{1, 1, 0, 0, 0, 2, 6, 14, 16, 8, 6, 7, 9, 8, 6, 6, 9, 15, 17, 11, 8, 6, 4, 2}
	powerByHour = [24]float64{3, 3, 2, 2, 2, 3, 5, 7, 6, 5, 5, 6, 7, 6, 5, 5, 6, 8, 10, 11, 10, 8, 6, 4}
)

// jitter returns a time about every.
func (d *device) jitter(nowMs int64, every time.Duration) int64 {
	return nowMs + d.between(every-every/20, every+every/20)
}

func soonMeter(d *device, nowMs int64) int64 { return nowMs + d.between(0, meterEvery) }

// isFaulty reports whether a meter has the fault of its batch: it repeats its readings and uses up its day.
func (d *device) isFaulty(f *fleet, nowMs int64) bool {
	return (d.number == 17 || d.number == 40 || d.number == 61) && nowMs > f.faultyMs
}

// meter is a smart meter: a reading every 90 s, now and then a command, and seldom an outage of its radio.
func meter(f *fleet, d *device, nowMs int64) int64 {
	if f.connect(d, nowMs) {
		return nowMs + greetFor
	}
	hour := d.hour(nowMs)
	load := powerByHour[int(hour)] * (0.6 + 0.02*float64(d.number%20)) * (0.9 + 0.2*d.dice.Float64()) / 10
	volts := 228 + 4*math.Sin(float64(nowMs)/9e6) + d.dice.Float64()
	kwh := float64(900+37*d.number) + float64(nowMs-meterEpochMs)/3.6e6*(0.3+0.01*float64(d.number%20))
	b := append(make([]byte, 0, 80), `{"kwh":`...)
	b = strconv.AppendFloat(b, kwh, 'f', 2, 64)
	b = strconv.AppendFloat(append(b, `,"kw":`...), load, 'f', 3, 64)
	b = strconv.AppendFloat(append(b, `,"v":`...), volts, 'f', 1, 64)
	b = strconv.AppendFloat(append(b, `,"pf":`...), 0.93+0.05*d.dice.Float64(), 'f', 2, 64)
	f.tell(d, event.Up, nowMs, "meter/reading", append(b, '}'))
	chance := d.dice.IntN(4000)
	switch {
	case chance < 60 && hour > 8 && hour < 20:
		f.tell(d, event.Down, nowMs+700, "meter/command", []byte(`{"cmd":"read","register":"1.8.0"}`))
	case chance == 100:
		f.disconnect(d, nowMs+900)
		return nowMs + d.between(6*time.Minute, 80*time.Minute)
	}
	if d.isFaulty(f, nowMs) {
		return d.jitter(nowMs, faultyEvery)
	}
	return d.jitter(nowMs, meterEvery)
}

// meterEpochMs is when the meters were put in, 1 January 2026.
const meterEpochMs = 1_767_225_600_000

// stranger is a meter that somebody has mounted and nobody has let connect.
func stranger(f *fleet, d *device, nowMs int64) int64 {
	f.tell(d, event.Up, nowMs, "meter/reading", []byte(`{"kwh":0.00,"kw":0.000,"v":229.6,"pf":1.00}`))
	return nowMs + d.between(80*time.Minute, 200*time.Minute)
}

func nextRide(d *device, nowMs int64) int64 { return d.arrival(nowMs, 6, &ridesByHour) }

// bike is the lock of a shared bike: it is online during a ride.
func bike(f *fleet, d *device, nowMs int64) int64 {
	if f.connect(d, nowMs) {
		d.untilMs = nowMs + d.between(6*time.Minute, 28*time.Minute)
		f.tell(d, event.Down, nowMs+400, "lock/command", []byte(`{"cmd":"unlock","by":"app"}`))
		f.tell(d, event.Up, nowMs+1900, "lock/state", d.place(nowMs, 34.0522, -118.2437, `,"locked":false`))
		return d.jitter(nowMs+2000, bikeEvery)
	}
	if nowMs < d.untilMs {
		f.tell(d, event.Up, nowMs, "lock/position", d.place(nowMs, 34.0522, -118.2437, ""))
		return d.jitter(nowMs, bikeEvery)
	}
	f.tell(d, event.Up, nowMs, "lock/state", d.place(nowMs, 34.0522, -118.2437, `,"locked":true`))
	f.disconnect(d, nowMs+300)
	return nextRide(d, nowMs+60_000)
}

// place says where a device is that moves about a town.
func (d *device) place(nowMs int64, lat, lon float64, more string) []byte {
	at := float64(nowMs)/1.1e6 + float64(d.number)
	lat += 0.03 * math.Sin(at*0.7+float64(d.number%9))
	lon += 0.04 * math.Sin(at*0.5+float64(d.number%7))
	b := append(make([]byte, 0, 80), `{"lat":`...)
	b = strconv.AppendFloat(b, lat, 'f', 5, 64)
	b = strconv.AppendFloat(append(b, `,"lon":`...), lon, 'f', 5, 64)
	b = strconv.AppendFloat(append(b, `,"kmh":`...), 6+14*d.dice.Float64(), 'f', 1, 64)
	b = strconv.AppendInt(append(b, `,"battery":`...), 98-(nowMs/600_000+int64(d.number)*13)%64, 10)
	return append(append(b, more...), '}')
}

// nextTour returns when a tracker is taken out. During a working day it is out already.
func nextTour(d *device, nowMs int64) int64 {
	if hour := d.hour(nowMs); hour > 8 && hour < 17 && d.works(time.UnixMilli(nowMs).In(d.zone)) {
		return nowMs + d.between(0, trackerEvery)
	}
	return morning(d, nowMs)
}

// works reports whether a tracker is out on a day: seldom at a weekend, but for some that always are.
func (d *device) works(t time.Time) bool {
	return t.Weekday()%6 != 0 || d.number%8 == 7 || d.dice.IntN(4) == 0
}

// morning returns when it is taken out on the next day that it works.
func morning(d *device, nowMs int64) int64 {
	t := time.UnixMilli(nowMs).In(d.zone)
	for day := range 7 {
		at := time.Date(t.Year(), t.Month(), t.Day()+day, 6, 0, 0, 0, d.zone)
		if ms := at.UnixMilli() + d.between(0, 150*time.Minute); ms > nowMs && d.works(at) {
			return ms
		}
	}
	return nowMs + d.between(24*time.Hour, 48*time.Hour)
}

// tracker is what is rented to vans: it is out for a working day, and says where it is each minute.
func tracker(f *fleet, d *device, nowMs int64) int64 {
	if f.connect(d, nowMs) {
		d.untilMs = nowMs + d.between(7*time.Hour, 10*time.Hour)
		if hour := d.hour(nowMs); hour < 5 || hour > 13 {
			d.untilMs = nowMs + d.between(10*time.Minute, 50*time.Minute)
		}
		return nowMs + greetFor
	}
	f.tell(d, event.Up, nowMs, "tracker/position", d.place(nowMs, 52.5200, 13.4050, ""))
	if d.dice.IntN(200) == 0 {
		f.tell(d, event.Down, nowMs+600, "tracker/command", []byte(`{"cmd":"interval","seconds":60}`))
	}
	if nowMs < d.untilMs {
		return d.jitter(nowMs, trackerEvery)
	}
	f.disconnect(d, nowMs+900)
	return morning(d, nowMs)
}

// sensor hangs in a greenhouse.
func sensor(f *fleet, d *device, nowMs int64) int64 {
	if f.connect(d, nowMs) {
		return nowMs + greetFor
	}
	hour := d.hour(nowMs)
	sun := max(0, math.Sin((hour-6)/12*math.Pi))
	b := append(make([]byte, 0, 80), `{"celsius":`...)
	b = strconv.AppendFloat(b, 16+11*sun+d.dice.Float64(), 'f', 1, 64)
	b = strconv.AppendFloat(append(b, `,"humidity":`...), 82-25*sun+3*d.dice.Float64(), 'f', 0, 64)
	b = strconv.AppendFloat(append(b, `,"lux":`...), 42_000*sun*(0.7+0.3*d.dice.Float64()), 'f', 0, 64)
	b = strconv.AppendFloat(append(b, `,"co2":`...), 640-180*sun+20*d.dice.Float64(), 'f', 0, 64)
	f.tell(d, event.Up, nowMs, "greenhouse/climate", append(b, '}'))
	if sun > 0.9 && d.dice.IntN(12) == 0 {
		f.tell(d, event.Down, nowMs+500, "greenhouse/command", []byte(`{"cmd":"irrigate","seconds":90}`))
	}
	return d.jitter(nowMs, sensorEvery)
}
