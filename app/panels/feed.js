// No view: what Python computed enters the store here. The slice's name is that of the element ("feed-record": record).
const name = element.closest('[id^="feed-"]').id.replace('feed-', '');
if (name === 'record') window.VTE.store.connect(server);
watch('value', () => { const [value] = props.value || []; window.VTE.store.receive(name, value); });
