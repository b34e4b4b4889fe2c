package api

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"github.com/valyala/fasthttp"

	"github.com/meterd/meterd/access"
)

// TestTranscripts plays what clients ask and compares what they are answered. The commands:
//
//	ask [token=NAME] [HEADER=VALUE…] [whole]: a request a line, METHOD PATH BODY. $next is the last cursor answered.
//	    Problems are shown as status, code, field and detail, of a token that is created the secret is kept under its
//	    name; with whole the answer is shown with its headers, as it is.
//	submit [producer=NAME]: events, a line each, decided as one batch
//	pass DURATION [leap]: time passes, and what it alone decides is decided; with leap on the wall clock alone
//	token NAME ROLE [ACCOUNT]: creates a token
func TestTranscripts(t *testing.T) {
	datadriven.Walk(t, "testdata/transcripts", func(t *testing.T, file string) {
		d := newDaemon(t, nil)
		datadriven.RunTest(t, file, func(t *testing.T, data *datadriven.TestData) string {
			d.t = t
			switch data.Cmd {
			case "ask":
				return d.transcribe(data)
			case "submit":
				var producer string
				data.MaybeScanArgs(t, "producer", &producer)
				return strings.Join(d.submit(producer, data.Input), "\n") + "\n"
			case "pass":
				duration, err := time.ParseDuration(data.CmdArgs[0].Key)
				must(t, err)
				leap := data.HasArg("leap")
				d.clock.pass(duration, leap)
				if !leap { // What time alone decides is decided here, not at some tick between two of the next requests.
					_, err = d.engine.CatchUp()
					must(t, err)
				}
				return ""
			case "token":
				account := ""
				if len(data.CmdArgs) > 2 {
					account = data.CmdArgs[2].Key
				}
				d.addToken(data.CmdArgs[0].Key, access.Role(data.CmdArgs[1].Key), account)
				return ""
			}
			t.Fatalf("unknown command %q", data.Cmd)
			return ""
		})
	})
}

// checksum is what a reader need not compare: it is another one when a library writes Parquet otherwise.
var checksum = regexp.MustCompile(`[0-9a-f]{64}`)

func (d *daemon) transcribe(data *datadriven.TestData) string {
	r := request{token: "admin", header: map[string]string{}}
	for _, arg := range data.CmdArgs {
		switch arg.Key {
		case "whole":
		case "token":
			r.token = arg.Vals[0]
		default:
			r.header[arg.Key] = strings.Join(arg.Vals, ", ")
		}
	}
	var out strings.Builder
	for line := range strings.Lines(data.Input) {
		parts := strings.SplitN(strings.TrimSpace(line)+"  ", " ", 3)
		r.method, r.uri, r.body = parts[0], strings.ReplaceAll(parts[1], "$next", d.next), strings.TrimSpace(parts[2])
		ctx, _ := d.ask(r)
		if data.HasArg("whole") {
			showWhole(&out, ctx)
		} else {
			d.show(&out, ctx)
		}
	}
	return out.String()
}

// show writes an answer so that a reader sees what matters, and notes its cursor.
func (d *daemon) show(out *strings.Builder, ctx *fasthttp.RequestCtx) {
	fmt.Fprintf(out, "%d", ctx.Response.StatusCode())
	body := ctx.Response.Body()
	var answer struct {
		Code, Field, Detail string
		Line                int
		Next                string
		Token, Name, Secret string
	}
	if len(body) > 0 && body[0] == '{' && !strings.Contains(string(ctx.Response.Header.ContentType()), "ndjson") {
		must(d.t, json.Unmarshal(body, &answer))
		d.next = answer.Next
	}
	if answer.Code == "" {
		text := strings.TrimSuffix(string(body), "\n")
		if answer.Next != "" { // A cursor says nothing to who reads it.
			text = strings.Replace(text, `"next":"`+answer.Next+`"`, `"next":"…"`, 1)
		}
		if answer.Token != "" && answer.Name != "" { // A secret is another one in every run.
			d.tokens[answer.Name] = answer.Token
			text = strings.Replace(text, answer.Token, "…", 1)
		}
		text = checksum.ReplaceAllString(text, "…")
		if answer.Secret != "" {
			text = strings.Replace(text, answer.Secret, "whsec_…", 1)
		}
		fmt.Fprintf(out, " %s\n", strings.NewReplacer(":[{", ":[\n  {", "},{", "},\n  {", "}\n{", "}\n  {").Replace(text))
		return
	}
	fmt.Fprintf(out, " %s", answer.Code)
	if answer.Field != "" {
		fmt.Fprintf(out, " [%s]", answer.Field)
	}
	if answer.Line > 0 {
		fmt.Fprintf(out, " line %d", answer.Line)
	}
	fmt.Fprintf(out, " %s\n", answer.Detail)
}

func showWhole(out *strings.Builder, ctx *fasthttp.RequestCtx) {
	fmt.Fprintf(out, "%d\n", ctx.Response.StatusCode())
	for _, name := range []string{"Content-Type", "Allow", "WWW-Authenticate"} {
		if value := ctx.Response.Header.Peek(name); len(value) > 0 && (len(ctx.Response.Body()) > 0 || name == "Allow") {
			fmt.Fprintf(out, "%s: %s\n", name, value)
		}
	}
	if body := strings.TrimSuffix(string(ctx.Response.Body()), "\n"); body != "" {
		fmt.Fprintf(out, "%s\n", body)
	}
}
