// Commands about the cluster as a whole.
#include <utility>

#include "control/value_text.h"
#include "net/handshake.h"
#include "node/call.h"
#include "node/joining.h"
#include "node/json.h"
#include "node/members.h"
#include "node/text.h"

namespace mars::node {

namespace {

constexpr io::Duration a_year = std::chrono::hours(24 * 365);

Answer already_member(Node& node) {
  return refused("this host is a member of cluster " + to_string(node.cluster()->identity().cluster) + " already",
                 "a host belongs to one cluster; another one needs another marsd with its own --state-dir");
}

Result<void> check_host_name(const std::string& name) {
  if (control::check_name(name) == Status::ok) return {};
  return failure(Status::invalid,
                 "\"" + name + "\" is no name of a host: start marsd with --name and 1 to 63 of a-z 0-9 . _ -");
}

Task<Result<Identity>> found_cluster(Node& node) {
  io::Machine& machine = node.machine();
  Identity identity;
  identity.cluster = random_uuid(machine);
  identity.host = random_uuid(machine);
  identity.name = node.options().name;
  identity.log_id = to_string(random_uuid(machine));
  Result<io::KeyPair> ca = machine.keys().make_ca(to_string(identity.cluster));
  if (!ca) co_return failure(ca.error());
  identity.ca = *ca;
  Result<io::KeyPair> own = issue_key(machine.keys(), identity.cluster, *ca, "host", to_string(identity.host));
  if (!own) co_return failure(own.error());
  identity.key_pem = own->key_pem;
  identity.certificate_pem = own->certificate_pem;
  Result<void> cleared = co_await clear_registers(machine, node.places());
  if (!cleared) co_return failure(cleared.error());
  co_return identity;
}

// The identity is there, and the cluster could not be opened with it, or it is missing and the rest is there: a new one
// would be another host.
Task<std::optional<Answer>> waits_to_open(Node& node) {
  const auto exists = co_await node.machine().storage().exists(node.places().host());
  if (exists && !*exists) {
    co_await node.look_for_traces();
    if (node.open_problem().empty()) co_return std::nullopt;
  }
  if (!exists) co_return failed(exists.error(), "look at the state directory " + node.places().state);
  Answer answer = not_open(node);
  answer.code = ExitCode::refused;
  co_return answer;
}

// Before anything is written, and before a token is used: whoever joins is listed by the others from then on.
Task<std::optional<Answer>> cannot_listen(Node& node) {
  const Result<void> may = co_await may_listen(node.machine(), node.options().listen);
  if (may) co_return std::nullopt;
  co_return refused(may.error().text,
                    "end whatever listens there, or start marsd with another --listen, and repeat the command");
}

// The identity is stored, or was about to be.
Answer not_opened(Node& node, const Error& error) {
  if (!node.open_problem().empty()) return not_open(node);
  return {ExitCode::failed, error.text, "repair this, then repeat the command", {}};
}

Task<Answer> create_in_turn(Call& call) {
  if (call.node.cluster() != nullptr) co_return already_member(call.node);
  if (auto waits = co_await waits_to_open(call.node)) co_return std::move(*waits);
  if (Result<void> named = check_host_name(call.node.options().name); !named) co_return failed(named.error());
  if (auto no = co_await cannot_listen(call.node)) co_return std::move(*no);
  if (call.is_dry_run()) co_return Answer::done("a new cluster would be made with this host as its first member");
  Result<Identity> identity = co_await found_cluster(call.node);
  if (!identity) co_return failed(identity.error(), "look at the state directory " + call.node.places().state);
  const std::string cluster = to_string(identity->cluster);
  Result<void> made = co_await call.node.become_member(std::move(*identity));
  if (!made) co_return not_opened(call.node, made.error());
  co_return Answer{ExitCode::done,
                   "cluster " + cluster + " made; this host is its first member",
                   "run `marsadm invite` here and `marsadm join-cluster TOKEN` on the other hosts",
                   {}};
}

}  // namespace

Task<Answer> create_cluster(Call& call) {
  co_await call.node.membership_turn().acquire();
  Answer answer = co_await create_in_turn(call);
  call.node.membership_turn().release(1);
  co_return answer;
}

Task<Answer> invite(Call& call) {
  const Result<uint64_t> expires = control::parse_duration_ms(call.command.text("expires"));
  if (!expires || *expires == 0)
    co_return refused("a token that expires at once is worth nothing", "give a time, such as --expires 1h");
  const Identity& identity = call.cluster().identity();
  Result<io::Sha256> ca_key = call.machine().keys().public_key_hash(identity.ca.certificate_pem);
  if (!ca_key) co_return failed(ca_key.error());
  format::JoinToken token;
  token.cluster = identity.cluster;
  for (const Member& member : list_members(call.registers())) {
    if (member.host == identity.host) token.addresses = member.addresses;
  }
  std::erase_if(token.addresses, [](const auto& a) { return a.empty() || a.size() > format::token_address_bytes_max; });
  if (token.addresses.size() > format::token_addresses_max) token.addresses.resize(format::token_addresses_max);
  if (token.addresses.empty()) {
    co_return refused("no address of this host is known to others", "start marsd with --advertise HOST:PORT");
  }
  for (size_t i = 0; i < ca_key->size(); ++i) token.ca_key_sha256[i] = static_cast<uint8_t>((*ca_key)[i]);
  Result<Secret> secret = co_await call.cluster().invitations().invite(std::chrono::milliseconds(*expires));
  if (!secret) co_return failed(secret.error());
  token.secret = *secret;
  Answer answer = Answer::done(format::to_string(token));
  Json data = {{"token", answer.text}};
  answer.data = control::write_json(data);
  co_return answer;
}

namespace {

// What the member sent must be of the cluster that the token names, and for our key.
Result<void> check_answer(io::Keys& keys, const JoinOrder& order, const JoinAnswer& answer) {
  Result<io::Sha256> certified = keys.public_key_hash(answer.certificate_pem);
  Result<io::Sha256> mine = keys.public_key_hash(order.candidate.key_pem);
  Result<io::Sha256> ca = keys.public_key_hash(answer.ca_certificate_pem);
  Result<io::Sha256> ca_key = keys.public_key_hash(answer.ca_key_pem);
  if (!certified || !mine || *certified != *mine) {
    return failure(Status::damaged, "the certificate that the member sent is not for this host's key");
  }
  const bool is_right_ca = ca && ca_key && *ca == *ca_key &&
                           std::equal(ca->begin(), ca->end(), order.token.ca_key_sha256.begin(),
                                      [](std::byte a, uint8_t b) { return static_cast<uint8_t>(a) == b; });
  if (!is_right_ca)
    return failure(Status::damaged, "the member sent another authority than the one that the token names");
  return {};
}

Task<Result<Identity>> enter(Node& node, JoinOrder order) {
  Result<Joined> joined = co_await ask_to_join(node.machine(), order);
  if (!joined) co_return failure(joined.error());
  Result<void> checked = check_answer(node.machine().keys(), order, joined->answer);
  if (!checked) co_return failure(checked.error());
  Result<void> done = co_await clear_registers(node.machine(), node.places());
  if (done) {
    done = co_await prime_registers(node.machine(), node.places(), order.candidate.host, std::move(joined->registers));
  }
  if (!done) co_return failure(done.error());
  Identity identity;
  identity.cluster = order.token.cluster;
  identity.host = order.candidate.host;
  identity.name = order.name;
  identity.log_id = to_string(random_uuid(node.machine()));
  identity.key_pem = order.candidate.key_pem;
  identity.certificate_pem = joined->answer.certificate_pem;
  identity.ca = {joined->answer.ca_key_pem, joined->answer.ca_certificate_pem};
  co_return identity;
}

Task<Answer> join_in_turn(Call& call) {
  Result<format::JoinToken> token = format::parse_token(call.command.text("token"));
  if (!token) co_return failed(token.error(), "copy the whole line that `marsadm invite` printed");
  Node& node = call.node;
  if (node.cluster() != nullptr) {
    if (node.cluster()->identity().cluster == token->cluster) co_return Answer::done("this host is a member already");
    co_return already_member(node);
  }
  if (auto waits = co_await waits_to_open(node)) co_return std::move(*waits);
  if (Result<void> named = check_host_name(node.options().name); !named) co_return failed(named.error());
  if (auto no = co_await cannot_listen(node)) co_return std::move(*no);
  if (call.is_dry_run()) {
    co_return Answer::done("this host would ask " + token->addresses.front() + " to join cluster " +
                           to_string(token->cluster) +
                           "; whether the token was used or has expired is not known before");
  }
  Result<Candidate> candidate = co_await make_candidate(node.machine(), node.places(), token->cluster);
  if (!candidate) co_return failed(candidate.error());
  JoinOrder order{*token,
                  *candidate,
                  node.options().name,
                  node.options().advertise,
                  node.options().listen,
                  node.options().times,
                  call.deadline().value_or(node.machine().now() + a_year),  // no time was given
                  [&call] { return call.node.is_stopping() || call.is_abandoned(); },
                  &call.node.changed()};
  call.say("calling " + token->addresses.front());
  Result<Identity> identity = co_await enter(node, std::move(order));
  if (!identity && (node.is_stopping() || call.is_abandoned() || identity.error().status == Status::timed_out)) {
    co_return call.over("this host is not a member yet: " + identity.error().text,
                        "the token stays good for this host; repeat the command");
  }
  if (node.is_stopping()) co_return call.over("this host is not a member yet", "repeat the command");
  if (!identity) {
    const bool is_no = identity.error().status == Status::permission;
    if (is_no) co_return refused(identity.error().text, "ask for a new token with `marsadm invite` on a member");
    co_return failed(identity.error(), "the token stays good for this host; repeat the command when this is mended");
  }
  Result<void> made = co_await node.become_member(std::move(*identity));
  if (!made) co_return not_opened(node, made.error());
  co_return Answer::done("this host is a member of cluster " + to_string(token->cluster));
}

}  // namespace

Task<Answer> join_cluster(Call& call) {
  co_await call.node.membership_turn().acquire();
  Answer answer = co_await join_in_turn(call);
  call.node.membership_turn().release(1);
  co_return answer;
}

namespace {

struct ClientFile {
  std::string path;
  std::string text;
  bool is_secret;
};

constexpr const char* authority_file = "/ca-cert.pem";
constexpr const char* certificate_file = "/client-cert.pem";
constexpr const char* key_file = "/client-key.pem";

// Nothing is overwritten.
Task<Result<void>> have_no_client(io::Machine& machine, std::string directory) {
  for (const char* name : {authority_file, certificate_file, key_file}) {
    const std::string path = directory + name;
    Result<bool> is_there = co_await machine.storage().exists(path);
    if (!is_there) co_return failure(is_there.error());
    if (*is_there) co_return failure(Status::exists, path + " is there already");
  }
  co_return Result<void>();
}

Task<Result<void>> write_client_files(io::Machine& machine, std::string directory, std::vector<ClientFile> files) {
  Status status = co_await machine.storage().make_directory(directory);
  for (size_t i = 0; i < files.size() && status == Status::ok; ++i) {
    status = co_await write_text_file(machine, files[i].path, files[i].text, files[i].is_secret);
  }
  if (status != Status::ok) co_return failure(status, "cannot write below " + directory);
  co_return Result<void>();
}

}  // namespace

Task<Answer> issue_client(Call& call) {
  const std::string name = call.command.text("name");
  const std::string directory = call.command.text("dir");
  if (Status named = control::check_name(name); named != Status::ok) {
    co_return refused("\"" + name + "\" is no name of a client",
                      "give another: 1 to 63 of a-z 0-9 . _ -, beginning with a letter or digit");
  }
  Result<void> is_free = co_await have_no_client(call.machine(), directory);
  if (!is_free && is_free.error().status == Status::exists) {
    co_return refused(is_free.error().text, "name another directory, or remove the files");
  }
  if (!is_free) co_return failed(is_free.error());
  if (call.is_dry_run())
    co_return Answer::done("key and certificates for " + name + " would be written to " + directory);
  const Identity& identity = call.cluster().identity();
  Result<io::KeyPair> client = issue_key(call.machine().keys(), identity.cluster, identity.ca, "client", name);
  if (!client) co_return failed(client.error());
  std::vector<ClientFile> files = {{directory + authority_file, identity.ca.certificate_pem, false},
                                   {directory + certificate_file, client->certificate_pem, false},
                                   {directory + key_file, client->key_pem, true}};
  Result<void> written = co_await write_client_files(call.machine(), directory, std::move(files));
  if (!written) {
    const std::string why = written.error().text + " (" + std::string(mars::name(written.error().status)) + ")";
    co_return failed({Status::io_error, why}, "name a directory that can be made, or make room there");
  }
  co_return Answer{ExitCode::done,
                   "wrote ca-cert.pem, client-cert.pem and client-key.pem to " + directory,
                   "copy them to the client: nbds://HOST/DEVICE?tls-certificates=" + directory,
                   {}};
}

Task<Answer> show_version(Call& call) {
  Answer answer = Answer::done("marsd " + call.node.options().version);
  Json data = {{"marsd", call.node.options().version}};
  answer.data = control::write_json(data);
  co_return answer;
}

}  // namespace mars::node
