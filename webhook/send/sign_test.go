package send

import (
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// The signature is the one that the library of the specification makes and checks.
func TestSignature(t *testing.T) {
	secret := []byte("0123456789abcdef0123456789abcdef")
	library, err := standardwebhooks.NewWebhook("whsec_" + base64.StdEncoding.EncodeToString(secret))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	for _, body := range []string{"", "{}", `{"type":"device.quota_80","data":{"name":"é"}}`, strings.Repeat("x", 1<<16)} {
		want, err := library.Sign("msg_1", now, []byte(body))
		if err != nil {
			t.Fatal(err)
		}
		if got := Signature([][]byte{secret}, "msg_1", now.Unix(), []byte(body)); got != want {
			t.Errorf("%q: got %s, want %s", body, got, want)
		}
		header := http.Header{}
		header.Set("webhook-id", "msg_1")
		header.Set("webhook-timestamp", strconv.FormatInt(now.Unix(), 10))
		header.Set("webhook-signature", Signature([][]byte{[]byte("new"), secret}, "msg_1", now.Unix(), []byte(body)))
		if err := library.Verify([]byte(body), header); err != nil {
			t.Errorf("%q with two secrets: %v", body, err)
		}
		if err := library.Verify([]byte(body+" "), header); err == nil {
			t.Errorf("%q: another body passes", body)
		}
	}
}

// The example of the specification's own tests.
func TestSignatureOfTheSpecification(t *testing.T) {
	secret, err := base64.StdEncoding.DecodeString("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	if err != nil {
		t.Fatal(err)
	}
	const want = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
	got := Signature([][]byte{secret}, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, []byte(`{"test": 2432232314}`))
	if got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
