// No view: what Python computed enters the store here. The slice's name is that of the element
// ("feed-record": record).
import { receive } from '../core/inbox';
import type { Panel } from '../core/panel';
import { connect } from '../core/requests';

export function mount({ element, props, server, watch }: Panel): void {
  const name = element.closest('[id^="feed-"]')?.id.replace('feed-', '') ?? '';
  if (name === 'record') connect(server);
  const take = () => {
    const [value] = (props.value as unknown[] | null) ?? [];
    receive(name, value);
  };
  watch('value', take);
  take(); // what came before the program did
}
